/* Drivers that outlive the terminal they were started from: their output goes to a log in the run's
 * folder, where `rtc attach FOLDER` follows it. */
#ifndef ACTORS_REPORT_DETACH_H
#define ACTORS_REPORT_DETACH_H

/* Goes on in a child that has a session of its own, its output in FOLDER/driver.log; the parent
 * says where, and exits. Before any thread is started. NULL in the child, or a sentence: it could
 * not be done, or a driver runs there already. */
const char *report_detach(const char *folder);
/* Writes down how it ended, for those who are attached. Nothing when it is not detached. */
void report_detached_end(int exit_code);

#endif
