/* `rtc sumo env`: the environment of vehicles under drivers that learn nothing. */
#ifndef ACTORS_SUMO_DRIVE_H
#define ACTORS_SUMO_DRIVE_H

/* The command with its arguments, argv[0] its name. Returns the exit status. */
int drive_main(int argc, char **argv);

#endif
