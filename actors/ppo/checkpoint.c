/* A learner as a checkpoint, and back. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/ppo/arrays.h"
#include "actors/ppo/run.h"
#include "actors/run/checkpoint.h"

enum { ITERATIONS, SAMPLES, EPISODES, SECONDS, BEST, STEPS, ACTING, SHUFFLING, KL_COEF, N_TEXTS };
static const char *const keys[N_TEXTS] = {"iterations", "samples",      "episodes",
                                          "seconds",    "best",         "adam.steps",
                                          "random.act", "random.order", "kl_coef"};
static const char *const arrays[] = {"parameters", "adam.first", "adam.second"};
#define WINDOW "episodes" /* sums of those that means are of */

/* Of an actor: where its episodes are. */
static const char *rollout_name(uint32_t actor, char name[32])
{
    snprintf(name, 32, "rollout.%u", actor);
    return name;
}

/* What a training has beside its learner, behind `n` tensors; without a word what is not known is
 * left out. Returns how many there are then. */
static size_t add_rollouts(struct train *train, uint32_t actors, struct run_tensor *tensors,
                           char (*names)[32], size_t n)
{
    size_t window, before = n;
    const double *sums = train_window(train, &window);
    for (uint32_t i = 0; i < actors; i++, n++) {
        const void *data;
        size_t size;
        if (train_episodes(train, i, &data, &size) < 0)
            return before;
        tensors[n] = (struct run_tensor){.name = rollout_name(i, names[i]),
                                         .type = RUN_U8,
                                         .ndim = 1,
                                         .shape = {size},
                                         .data = data};
    }
    tensors[n++] = (struct run_tensor){
        .name = WINDOW, .type = RUN_F64, .ndim = 1, .shape = {window}, .data = sums};
    return n;
}

/* 0: all are there, and the actors go on in them. */
static int go_on_in(const struct run_tensors *t, struct train *train, uint32_t actors)
{
    char name[32], why[RUN_WHY_MAX];
    size_t window;
    double *to = train_window(train, &window);
    const void **data = calloc(actors, sizeof(*data));
    size_t *sizes = calloc(actors, sizeof(*sizes));
    const struct run_tensor *sums =
        run_tensors_need(t, WINDOW, RUN_F64, 1, &(uint64_t){window}, why);
    bool all = data && sizes && sums;
    for (uint32_t i = 0; all && i < actors; i++) {
        const struct run_tensor *tensor = run_tensors_find(t, rollout_name(i, name));
        all = tensor && tensor->type == RUN_U8;
        data[i] = all ? tensor->data : NULL;
        sizes[i] = all ? tensor->size : 0;
    }
    all = all && !run_tensors_find(t, rollout_name(actors, name));
    if (all) {
        memcpy(to, sums->data, window * sizeof(*to));
        train_window_is_back(train);
        all = train_go_on_in(train, data, sizes) == 0;
    }
    free(data);
    free(sizes);
    return all ? 0 : -1;
}

static const char *in_folder(const struct ppo_run *run, char path[RUN_PATH_MAX])
{
    return run_folder_in(run->folder, "checkpoints", path);
}

int ppo_checkpoint_save(const struct ppo_run *run, struct train *train,
                        const struct ppo_saved *saved, double score, bool final, char *why)
{
    struct ppo_state state;
    char values[N_TEXTS][32], path[RUN_PATH_MAX];
    struct run_text texts[N_TEXTS];
    if (ppo_state_get(train_ppo(train), &state) < 0) {
        snprintf(why, RUN_WHY_MAX, "out of memory for a checkpoint");
        return -1;
    }
    const uint64_t numbers[] = {saved->counts.iterations, saved->counts.samples,
                                saved->counts.episodes};
    for (int i = 0; i < 3; i++)
        snprintf(values[i], sizeof(values[i]), "%" PRIu64, numbers[i]);
    snprintf(values[SECONDS], sizeof(values[0]), "%.17g", saved->seconds);
    snprintf(values[BEST], sizeof(values[0]), "%.17g", saved->best);
    snprintf(values[STEPS], sizeof(values[0]), "%" PRIu64, state.steps);
    snprintf(values[ACTING], sizeof(values[0]), "%" PRIu64, state.acting);
    snprintf(values[SHUFFLING], sizeof(values[0]), "%" PRIu64, state.shuffling);
    snprintf(values[KL_COEF], sizeof(values[0]), "%.17g", state.kl_coef);
    for (int i = 0; i < N_TEXTS; i++)
        texts[i] = (struct run_text){keys[i], values[i]};
    const float *const data[] = {state.parameters, state.first, state.second};
    uint32_t actors = run->settings->train.actors;
    struct run_tensor *tensors = calloc(actors + 4u, sizeof(*tensors));
    char(*names)[32] = calloc(actors, sizeof(*names));
    for (int i = 0; tensors && i < 3; i++)
        tensors[i] = (struct run_tensor){
            .name = arrays[i], .type = RUN_F32, .ndim = 1, .shape = {state.n}, .data = data[i]};
    size_t n = tensors && names ? add_rollouts(train, actors, tensors, names, 3) : 3;
    const struct ppo_settings *s = &run->loaded->config;
    struct run_keep keep = {.last_n = s->keep_last_n == CONFIG_NONE ? 0 : (uint64_t)s->keep_last_n};
    int rc = -1;
    if (tensors)
        rc = run_checkpoint_write(in_folder(run, path), saved->counts.iterations, score, final,
                                  tensors, n, texts, N_TEXTS, &keep, why);
    else
        snprintf(why, RUN_WHY_MAX, "out of memory for a checkpoint");
    ppo_state_fini(&state);
    free(tensors);
    free(names);
    return rc;
}

static int read_texts(const struct run_tensors *t, struct ppo_state *state, struct ppo_saved *saved,
                      char *why)
{
    const char *text[N_TEXTS];
    for (int i = 0; i < N_TEXTS; i++) {
        text[i] = run_tensors_text(t, keys[i]);
        if (!text[i]) {
            snprintf(why, RUN_WHY_MAX, "the checkpoint does not say %s: it is not one of rtc ppo",
                     keys[i]);
            return -1;
        }
    }
    saved->counts = (struct train_counts){strtoull(text[ITERATIONS], NULL, 10),
                                          strtoull(text[SAMPLES], NULL, 10),
                                          strtoull(text[EPISODES], NULL, 10)};
    saved->seconds = strtod(text[SECONDS], NULL);
    saved->best = strtod(text[BEST], NULL);
    state->steps = strtoull(text[STEPS], NULL, 10);
    state->acting = strtoull(text[ACTING], NULL, 10);
    state->shuffling = strtoull(text[SHUFFLING], NULL, 10);
    state->kl_coef = strtod(text[KL_COEF], NULL);
    return 0;
}

int ppo_checkpoint_restore(const struct ppo_run *run, struct train *train, const char *wanted,
                           struct ppo_saved *ret_saved, bool *ret_episodes, char *why)
{
    char path[RUN_PATH_MAX], note[RUN_WHY_MAX];
    struct run_checkpoint *list = NULL, found;
    struct run_tensors *t;
    size_t n = 0;
    if (!wanted && (run_checkpoint_list(in_folder(run, path), false, &list, &n, why) || n == 0)) {
        free(list);
        return 1;
    }
    free(list);
    if (run_checkpoint_read(in_folder(run, path), wanted, false, &found, &t, note, why))
        return -1;
    struct ppo_state state;
    int rc = ppo_state_get(train_ppo(train), &state) < 0 ? -1 : 0;
    float *const to[] = {state.parameters, state.first, state.second};
    for (int i = 0; rc == 0 && i < 3; i++) {
        const struct run_tensor *tensor =
            run_tensors_need(t, arrays[i], RUN_F32, 1, &(uint64_t){state.n}, why);
        if (tensor)
            memcpy(to[i], tensor->data, state.n * sizeof(float));
        rc = tensor ? 0 : -1;
    }
    if (rc == 0)
        rc = read_texts(t, &state, ret_saved, why);
    if (rc == 0)
        ppo_state_set(train_ppo(train), &state);
    if (rc == 0 && ret_episodes) {
        train_go_on(train, &ret_saved->counts);
        *ret_episodes = go_on_in(t, train, run->settings->train.actors) == 0;
    }
    ppo_state_fini(&state);
    run_tensors_free(&t);
    return rc;
}
