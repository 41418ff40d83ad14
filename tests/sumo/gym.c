#include "tests/sumo/gym.h"

#include <stdlib.h>

#define OPTIONS_MAX 32

static void *room(size_t n, size_t size)
{
    void *made = calloc(n + 1, size ? size : 1);
    if (!made)
        abort();
    return made;
}

int gym_open(struct gym *gym, uint32_t slots, const char *const *options)
{
    return gym_open_named(gym, "sumo-signals", slots, options);
}

int gym_open_named(struct gym *gym, const char *name, uint32_t slots, const char *const *options)
{
    struct rtc_env_option split[OPTIONS_MAX];
    struct rtc_env_config config = {.slots = slots, .options = split};
    char *texts[OPTIONS_MAX];
    for (; options[config.n_options]; config.n_options++) {
        char *text = texts[config.n_options] = strdup(options[config.n_options]);
        char *equals = strchr(text, '=');
        *equals = '\0';
        split[config.n_options] = (struct rtc_env_option){.key = text, .value = equals + 1};
    }
    memset(gym, 0, sizeof(*gym));
    int rc = rtc_env_open(name, &config, &gym->env);
    for (size_t i = 0; i < config.n_options; i++)
        free(texts[i]);
    if (rc != 0)
        return rc;
    gym->spec = rtc_env_spec_of(gym->env);
    uint32_t n = gym->n_rows = gym->spec->rows_max * slots;
    size_t size = gym->spec->observation_size;
    gym->seen = room(n, size);
    gym->final = room(n, size);
    gym->rewards = room(n, sizeof(float));
    gym->masks = room(n, gym->spec->mask_size);
    gym->ends = room(n, 1);
    gym->actions = room(n, gym->spec->action_size);
    gym->table = room(n, sizeof(*gym->table));
    gym->sums = room((size_t)slots * gym->spec->n_infos, sizeof(double));
    gym->rows = (struct rtc_env_rows){
        .cap = n, .data = gym->seen, .size = n * size, .masks = gym->masks, .table = gym->table};
    gym->final_table = room(n, sizeof(*gym->final_table));
    gym->next = room(n, sizeof(*gym->next));
    gym->finals_of = room(n, sizeof(*gym->finals_of));
    gym->finals = (struct rtc_env_rows){
        .cap = n, .data = gym->final, .size = n * size, .table = gym->final_table};
    gym->episodes = (struct rtc_env_episodes){
        .cap = slots, .list = room(slots, sizeof(struct rtc_env_episode)), .sums = gym->sums};
    return 0;
}

void gym_close(struct gym *gym)
{
    rtc_env_close(&gym->env);
    free(gym->seen);
    free(gym->final);
    free(gym->rewards);
    free(gym->masks);
    free(gym->ends);
    free(gym->actions);
    free(gym->table);
    free(gym->final_table);
    free(gym->next);
    free(gym->finals_of);
    free(gym->sums);
    free(gym->episodes.list);
}

int gym_reset(struct gym *gym, const uint64_t *seeds)
{
    gym->rows.n = 0;
    return rtc_env_reset(gym->env, 0, gym->spec->slots, seeds, &gym->rows);
}

int gym_step(struct gym *gym)
{
    struct rtc_env_step step = {.n = gym->spec->slots,
                                .actions = gym->actions,
                                .rewards = gym->rewards,
                                .ends = gym->ends,
                                .next = gym->next,
                                .finals = gym->finals_of,
                                .rows = &gym->rows,
                                .final = &gym->finals,
                                .episodes = &gym->episodes};
    gym->rows.n = gym->finals.n = gym->episodes.n = 0;
    return rtc_env_step(gym->env, &step);
}

void gym_draw(struct gym *gym, uint64_t *random)
{
    size_t per = gym->spec->action_size / sizeof(int32_t);
    for (uint32_t row = 0; row < gym->n_rows; row++) {
        uint32_t kind = gym->spec->n_kinds == 1 ? 0 : row % gym->spec->rows_max;
        const struct rtc_env_space *space = &gym->spec->kinds[kind].action;
        for (size_t i = 0; i < per; i++) {
            const uint8_t *mask = gym->masks + row * gym->spec->mask_size;
            uint32_t n = space->choices[i];
            while (space->masked && !mask[n - 1])
                n--;
            gym->actions[row * per + i] = (int32_t)(rtc_env_random(random) % n);
        }
    }
}

uint64_t gym_digest(const struct gym *gym)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < gym->rows.used / 4; i++) {
        uint32_t bits;
        memcpy(&bits, (const char *)gym->rows.data + 4 * i, 4);
        sum += (uint64_t)bits * bits;
    }
    return sum;
}
