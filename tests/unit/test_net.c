/* The two ends of links between hosts, over the loopback. */
#include "tests/unit/net_help.h"

static void joins_and_speaks(void **state)
{
    struct net *n = *state;
    join_link(n, 0);
    UNTIL(n, 5, n->at[0].joined == 1);
    assert_int_equal(n->at[0].node, 2);
    assert_int_equal(n->at[0].epoch, n->epoch);
    assert_int_equal(n->at_hub.joined, 1);
    uint64_t begun = now();
    send_numbered(n, 0, 1, 10000, true);
    send_numbered(n, 0, 1, 10000, false);
    UNTIL(n, 20, n->at[0].last == 10000 && n->at_hub_from[2].last == 10000);
    print_message("10,000 each way in %.3f s\n", (double)(now() - begun) / 1e9);
    UNTIL(n, 5, rtci_link_committed(n->links[0]) == 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(joins_and_speaks, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
