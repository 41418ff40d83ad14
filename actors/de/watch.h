/* What a run of `rtc de` shows and leaves behind: progress on the terminal, scalars for
 * TensorBoard, plots, notifications, result.json. */
#ifndef ACTORS_DE_WATCH_H
#define ACTORS_DE_WATCH_H

#include "actors/de/config.h"

struct watch;

/* `folder`: of the run. Borrows the options and what `what` points to. */
struct watch *de_watch_open(const char *folder, const struct rtc_de_options *options,
                            const struct de_watch *what, bool quiet);
void de_watch_progress(struct watch *watch, const struct rtc_de_progress *progress);
void de_watch_failed(struct watch *watch, const double *x, const char *why);
void de_watch_note(struct watch *watch, const char *sentence);
/* NULL result: it failed, with the sentence. Also frees. */
void de_watch_end(struct watch *watch, struct rtc *rtc, const struct rtc_de_result *result,
                  const char *error);

#endif
