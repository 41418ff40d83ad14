/* The lease of a node: when it may be taken for dead, by a clock that goes on while the host
 * sleeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/base/bounds.h"
#include "runtime/core/lease.h"

#define S RTCI_NS_PER_S

static struct rtci_lease heard_at(uint64_t lease_ns, uint64_t now_ns, uint64_t boot_ns)
{
    struct rtci_lease lease = {.lease_ns = lease_ns};
    assert_false(rtci_lease_look(&lease, now_ns, boot_ns));
    rtci_lease_heard(&lease, now_ns);
    return lease;
}

static void over_in_time(void **state)
{
    (void)state;
    struct rtci_lease lease = {.lease_ns = 0};
    assert_false(rtci_lease_look(&lease, 100 * S, 150 * S));
    assert_true(rtci_lease_over(&lease)); /* nothing was heard yet */
    lease = heard_at(20 * S, 100 * S, 150 * S);
    assert_int_equal(rtci_lease_deadline(&lease), 112 * S);
    assert_false(rtci_lease_look(&lease, 112 * S - 1, 162 * S - 1));
    assert_false(rtci_lease_over(&lease));
    rtci_lease_heard(&lease, 100 * S); /* nothing new */
    assert_false(rtci_lease_look(&lease, 112 * S, 162 * S));
    assert_true(rtci_lease_over(&lease));
    rtci_lease_heard(&lease, 112 * S);
    assert_false(rtci_lease_over(&lease));
    assert_int_equal(heard_at(0, 100 * S, 150 * S).until_ns, 156 * S); /* the usual one */
    /* A host that has never slept: the two clocks are one, and the loop's was read later. */
    lease = heard_at(10 * S, 100 * S, 100 * S - 20);
    assert_int_equal(rtci_lease_deadline(&lease), 106 * S);
    assert_false(rtci_lease_over(&lease));
}

/* The loop's clock may stand still: the lease does not. */
static void over_in_sleep(void **state)
{
    (void)state;
    struct rtci_lease lease = heard_at(20 * S, 100 * S, 150 * S);
    assert_true(rtci_lease_look(&lease, 101 * S, 162 * S));
    assert_true(rtci_lease_over(&lease));
    assert_true(rtci_lease_deadline(&lease) <= 101 * S);
    assert_false(rtci_lease_look(&lease, 102 * S, 163 * S)); /* told once */
    rtci_lease_heard(&lease, 102 * S);
    assert_int_equal(lease.until_ns, 175 * S);
    lease = heard_at(20 * S, 100 * S, 150 * S);
    assert_true(rtci_lease_look(&lease, 101 * S, 154 * S)); /* a nap */
    assert_false(rtci_lease_over(&lease));
    assert_int_equal(rtci_lease_deadline(&lease), 109 * S);
}

/* Stopped between the readings of the two clocks: the later one is the loop's, and nothing is
 * gained. */
static void stopped_between(void **state)
{
    (void)state;
    struct rtci_lease lease = heard_at(20 * S, 100 * S, 150 * S);
    assert_false(rtci_lease_look(&lease, 130 * S, 151 * S));
    rtci_lease_heard(&lease, 130 * S);
    assert_true(lease.until_ns <= 180 * S + 12 * S);
    assert_true(rtci_lease_look(&lease, 131 * S, 181 * S)); /* asks once too often */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(over_in_time),
        cmocka_unit_test(over_in_sleep),
        cmocka_unit_test(stopped_between),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
