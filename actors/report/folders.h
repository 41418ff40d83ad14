/* Folders that drivers write to. */
#ifndef ACTORS_REPORT_FOLDERS_H
#define ACTORS_REPORT_FOLDERS_H

/* Makes a folder, and its parents, where they are missing. 0 or a negative errno. */
int report_make_folders(const char *folder);

#endif
