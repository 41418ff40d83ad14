/* A thousand poles on carts, balanced by a rule of one line:  cartpole [SECONDS]
 * All copies are stepped by one call, into memory of this program; the same would be a slice of a
 * batch in the object store. */
#include <rtc/env.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define COPIES 1000

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int fail(void)
{
    fprintf(stderr, "cartpole: %s\n", rtc_env_error());
    return 1;
}

int main(int argc, char **argv)
{
    static float seen[COPIES][4], rewards[COPIES]; /* seen: x, its speed, angle, its speed */
    static uint8_t ends[COPIES];
    static int32_t actions[COPIES];
    static struct rtc_env_episode ended[COPIES];
    static double sums[COPIES][2]; /* return, length */
    struct rtc_env_config config = {.slots = COPIES};
    struct rtc_env_rows rows = {.cap = COPIES, .data = seen, .size = sizeof(seen)};
    struct rtc_env_episodes episodes = {.cap = COPIES, .list = ended, .sums = sums[0]};
    struct rtc_env_step step = {.n = COPIES,
                                .actions = actions,
                                .rewards = rewards,
                                .ends = ends,
                                .rows = &rows,
                                .episodes = &episodes};
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 1, begin = now(), total = 0;
    unsigned long long steps = 0, n = 0;
    struct rtc_env *env;
    if (rtc_env_open("CartPole-v1", &config, &env) < 0 ||
        rtc_env_reset(env, 0, COPIES, NULL, &rows) < 0)
        return fail();
    while (now() - begin < seconds || n == 0) {
        for (int i = 0; i < COPIES; i++)
            actions[i] = seen[i][2] + 0.3f * seen[i][3] > 0; /* push to where it falls */
        rows.n = episodes.n = 0;
        if (rtc_env_step(env, &step) < 0)
            return fail();
        steps += COPIES;
        n += episodes.n;
        for (uint32_t i = 0; i < episodes.n; i++)
            total += sums[i][1];
    }
    double took = now() - begin;
    rtc_env_close(&env);
    printf("%llu episodes of %.0f steps, %.1f million steps/s\n", n, total / (double)n,
           (double)steps / took * 1e-6);
    return 0;
}
