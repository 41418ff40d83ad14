/* Assertions stay on in release builds: they catch programmers' errors, never a peer's or user's. */
#ifndef RTCI_BASE_ASSERT_H
#define RTCI_BASE_ASSERT_H

/* Prints what failed and a backtrace to stderr, then aborts. */
__attribute__((noreturn, cold)) void rtci_assert_fail(const char *expr, const char *file, int line,
                                                      const char *func);

#define RTCI_ASSERT(expr)                                                                          \
    (__builtin_expect(!!(expr), 1) ? (void)0                                                       \
                                   : rtci_assert_fail(#expr, __FILE__, __LINE__, __func__))
#define RTCI_IMPLIES(a, b)     RTCI_ASSERT(!(a) || (b))
#define RTCI_UNREACHABLE(why)  rtci_assert_fail(why, __FILE__, __LINE__, __func__)
#define RTCI_LIKELY(expr)      __builtin_expect(!!(expr), 1)
#define RTCI_UNLIKELY(expr)    __builtin_expect(!!(expr), 0)
#define RTCI_MUST_USE          __attribute__((warn_unused_result))
#define RTCI_IGNORE(expr)      ((void)!(expr))
#define RTCI_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
/* Container of an intrusive member. */
#define RTCI_CONTAINER(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#endif
