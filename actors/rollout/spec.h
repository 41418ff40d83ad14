/* The spec of an environment as bytes, for who builds a policy elsewhere, and for checkpoints. */
#ifndef ACTORS_ROLLOUT_SPEC_H
#define ACTORS_ROLLOUT_SPEC_H

#include <rtc/env.h>

#define SPEC_BYTES_MAX (16u << 20)

/* Ownership: *ret_data is freed by the caller. Errors: RTC_E_NOMEM, RTC_E_TOO_LARGE. */
int spec_pack(const struct rtc_env_spec *spec, void **ret_data, size_t *ret_size);
/* Ownership: one block, freed by the caller with free(). Errors: RTC_E_INVALID these are not the
 * bytes of a spec; RTC_E_NOMEM. The sentence is that of rtc_env_error(). */
int spec_unpack(const void *data, size_t size, struct rtc_env_spec **ret_spec);

#endif
