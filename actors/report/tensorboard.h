/* Event files, as TensorBoard reads them. A file is only ever appended to, and a record is one
 * write: a program that is killed leaves at most a torn last record, which readers ignore. Who
 * resumes opens the same folder again and gets a new file that sorts after the older ones; the same
 * tags go on there.
 *
 * All functions return 0 or a negative errno: -EINVAL for an empty tag, -EMSGSIZE for what is too
 * large, else what the file system said. After an error the file is as it was before the call, and
 * later calls are possible. One thread at a time for each file. The times are the caller's, in
 * seconds since 1970, so that a file is a function of what was asked. */
#ifndef ACTORS_REPORT_TENSORBOARD_H
#define ACTORS_REPORT_TENSORBOARD_H

#include <stddef.h>
#include <stdint.h>

#define REPORT_TB_TAG_MAX   1024u /* bytes */
#define REPORT_TB_TEXT_MAX  (1024u * 1024)
#define REPORT_TB_IMAGE_MAX (64u * 1024 * 1024)
#define REPORT_TB_BINS      30u

struct report_tb;

/* Makes the folder, and its parents, where they are missing. */
int report_tb_open(const char *folder, struct report_tb **ret);
/* The same at a given time, which stands in the first record and in the file's name. */
int report_tb_open_at(const char *folder, double wall_time, struct report_tb **ret);
/* NULL is fine. An error of close() is returned, and the memory is free all the same. */
int report_tb_close(struct report_tb *tb);
/* Onto the disk. Without it, what was written survives the program but not the machine. */
int report_tb_flush(struct report_tb *tb);

/* Kept as a float, all that the format has room for. */
int report_tb_scalar(struct report_tb *tb, const char *tag, int64_t step, double wall_time,
                     double value);
/* Markdown. */
int report_tb_text(struct report_tb *tb, const char *tag, int64_t step, double wall_time,
                   const char *text);
/* REPORT_TB_BINS bins of equal width between the least and the greatest value; what is infinite or
 * no number is left out. */
int report_tb_histogram(struct report_tb *tb, const char *tag, int64_t step, double wall_time,
                        const double *values, size_t n);
/* A whole PNG file. -EINVAL when it is none. */
int report_tb_image(struct report_tb *tb, const char *tag, int64_t step, double wall_time,
                    const void *png, size_t size);

/* A run goes on from an earlier point: readers drop what older files have from this step on. */
int report_tb_restart(struct report_tb *tb, int64_t step, double wall_time);

/* What a run was told, and how it ended, for the tab HPARAMS. `metrics` are tags of scalars to show
 * beside it. Written once, before the scalars; the end when it has ended. -EMSGSIZE when all of it is
 * more than REPORT_TB_TEXT_MAX bytes. */
enum report_tb_kind { REPORT_TB_NUMBER, REPORT_TB_STRING, REPORT_TB_BOOL };
struct report_tb_hparam {
    const char *name;
    enum report_tb_kind kind;
    double number; /* also of a BOOL: 0 or 1 */
    const char *string;
};
int report_tb_hparams(struct report_tb *tb, double wall_time, const struct report_tb_hparam *hparams,
                      size_t n, const char *const *metrics, size_t n_metrics);
int report_tb_hparams_end(struct report_tb *tb, double wall_time, int ok);

uint32_t report_crc32c(const void *data, size_t size);
/* Of what comes behind that with the sum `sum`; 0 at first. */
uint32_t report_crc32c_more(uint32_t sum, const void *data, size_t size);

#endif
