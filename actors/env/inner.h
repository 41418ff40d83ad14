/* What the parts of librtc-env share. */
#ifndef ACTORS_ENV_INNER_H
#define ACTORS_ENV_INNER_H

#include <rtc/env.h>

enum slot_state {
    SLOT_NEW,  /* never reset, or a call with it failed */
    SLOT_READY,
    SLOT_BEGUN /* between begin and finish */
};

/* An environment, whichever class steps it. */
struct rtc_env {
    const struct rtc_env_class *class_;
    void *self;
    struct rtc_env_spec spec;
    char name[64];
    uint8_t *states; /* a slot: enum slot_state */
    /* The rows that act next, rows_max for each slot; NULL where rows are fixed. */
    uint32_t *n_rows;
    struct rtc_env_row *rows;
    uint8_t *masks; /* of the same rows, mask_size each; NULL where nothing is masked */
};

/* check.c: of calls; 0, or an error with its sentence. */
int rtci_env_check_range(const struct rtc_env *env, uint32_t first, uint32_t n);
int rtci_env_check_state(const struct rtc_env *env, uint32_t first, uint32_t n, enum slot_state state);
/* Is there room for all rows that n slots can have? masks: they are wanted. Fills in strides. */
int rtci_env_check_rows(const struct rtc_env *env, uint32_t n, struct rtc_env_rows *rows,
                        const char *what, bool masks);
int rtci_env_check_step(const struct rtc_env *env, struct rtc_env_step *step);
int rtci_env_check_actions(const struct rtc_env *env, const struct rtc_env_step *step);
/* Whether a class filled its spec in; computes the sizes. */
int rtci_env_check_spec(struct rtc_env_spec *spec);

/* rows.c: keeps what a class has written of slots first to first + n - 1 behind row `from`. */
int rtci_env_adopt(struct rtc_env *env, uint32_t first, uint32_t n, const struct rtc_env_rows *rows,
                   uint32_t from);
/* Finds where the rows that acted go on, and their final observations. Before rtci_env_adopt(). */
int rtci_env_link(const struct rtc_env *env, struct rtc_env_step *step, uint32_t rows_from,
                  uint32_t final_from);
/* The kind of a row: `row` counts within its slot. */
const struct rtc_env_kind *rtci_env_kind_of(const struct rtc_env *env, uint32_t slot, uint32_t row);

/* registry.c */
struct env_entry {
    const char *name, *about;
    const struct rtc_env_option *options;
    const struct rtc_env_class *class_; /* one of the two */
    const struct rtc_env_single *single;
};
const struct env_entry *rtci_env_find(const char *name); /* NULL, with a sentence */

/* vector.c: the class that makes many of a single one. */
extern const struct rtc_env_class rtci_env_vector;
int rtci_env_vector_open(const struct rtc_env_single *single, const struct rtc_env_config *config,
                         struct rtc_env_spec *ret_spec, void **ret_self);

/* option.c: the config with the defaults of the class behind; its options are the caller's to free.
 * Errors: an option that the class does not have. */
int rtci_env_merge(const struct env_entry *entry, const struct rtc_env_config *config,
                   struct rtc_env_config *ret_config);
/* Puts words in front of the sentence; returns code. */
int rtci_env_blame(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
