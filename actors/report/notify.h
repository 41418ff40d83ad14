/* A command of the user's that is told of events: a message to a phone, a line in a chat. */
#ifndef ACTORS_REPORT_NOTIFY_H
#define ACTORS_REPORT_NOTIFY_H

#define REPORT_HOOKS_MAX 8u /* at once */

/* Starts `/bin/sh -c command` and does not wait for it. It finds RTC_EVENT, RTC_SUBJECT and
 * RTC_TEXT in its environment (cut to what an environment takes) and the whole text on its standard
 * input; what it prints goes to the caller's stderr. It is in a session of its own, outlives its
 * caller, and is killed after 60 s with all that it started.
 *
 * Returns NULL, also for a command that is NULL or empty, or a sentence: it could not be started,
 * or REPORT_HOOKS_MAX are running and this one was dropped. What the command itself does is not
 * reported. Any thread may call. */
const char *report_notify(const char *command, const char *event, const char *subject,
                          const char *text);
/* How long a command may take: 60 s. Tests wait less. */
void report_notify_set_limit(unsigned seconds);

#endif
