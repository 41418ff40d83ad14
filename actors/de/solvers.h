/* liblbfgsb and NLopt, loaded when a run is polished and not before: they bring a BLAS with threads
 * of its own, which none of the executors needs. The names of their functions stand for what was
 * loaded. */
#ifndef ACTORS_DE_SOLVERS_H
#define ACTORS_DE_SOLVERS_H

#include <nlopt.h>
#include <stddef.h>

/* The Fortran subroutine of L-BFGS-B 3.0, by reverse communication. */
typedef void de_setulb(const int *n, const int *m, double *x, const double *l, const double *u,
                       const int *nbd, double *f, double *g, const double *factr,
                       const double *pgtol, double *wa, int *iwa, char *task, const int *iprint,
                       char *csave, int *lsave, int *isave, double *dsave, size_t task_len,
                       size_t csave_len);

#define DE_NLOPT(EACH)              \
    EACH(create)                    \
    EACH(destroy)                   \
    EACH(set_lower_bounds)          \
    EACH(set_upper_bounds)          \
    EACH(set_min_objective)         \
    EACH(add_equality_constraint)   \
    EACH(add_inequality_constraint) \
    EACH(set_ftol_rel)              \
    EACH(set_xtol_rel)              \
    EACH(set_maxeval)               \
    EACH(optimize)

struct de_solvers {
    de_setulb *setulb;
#define DE_MEMBER(name) __typeof__(nlopt_##name) *name;
    DE_NLOPT(DE_MEMBER)
#undef DE_MEMBER
};

/* NULL, with a sentence: they are not installed. Valid for ever. Thread: one at a time. */
const struct de_solvers *de_solvers_load(const char **ret_error);

#endif
