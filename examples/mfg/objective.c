/* The moments of Aiyagari's economy as an objective of `rtc de`: see configs/de_mfg.yaml. The value
 * is the distance from the moments of (ρ, γ, λ, e, φ) = (.05, 2, .5, .4, .2) where no targets are
 * given. */
#include <rtc/de.h>

#include <stdio.h>

#include "aiyagari.h"

#define POINTS 200u /* of the grid */

int rtc_de_objective_aiyagari(const double *x, uint32_t n, struct rtc_de_answer *answer);

__attribute__((visibility("default"))) int rtc_de_objective_aiyagari(const double *x, uint32_t n,
                                                                     struct rtc_de_answer *answer)
{
    static const double truth[AIYAGARI_PARAMETERS] = {.05, 2, .5, .4, .2};
    static double targets[AIYAGARI_MOMENTS];
    static bool known;
    if (n != AIYAGARI_PARAMETERS) {
        snprintf(answer->why, sizeof(answer->why), "the parameters are rho, gamma, lambda, e, phi");
        return -1;
    }
    int rc = known ? 0 : aiyagari_moments(truth, POINTS, targets);
    if (rc == 0)
        rc = aiyagari_moments(x, POINTS, answer->moments);
    if (rc) {
        snprintf(answer->why, sizeof(answer->why), "%s", aiyagari_error(rc));
        return rc;
    }
    known = true;
    answer->n_moments = AIYAGARI_MOMENTS;
    for (int i = 0; i < AIYAGARI_MOMENTS; i++) {
        double gap = (answer->moments[i] - targets[i]) / targets[i];
        answer->value += gap * gap;
    }
    return 0;
}
