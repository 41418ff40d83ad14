/* A shared library that a program needs: what it says when a node does not have it is tested. */
int host_lib_answer(void);

__attribute__((visibility("default"))) int host_lib_answer(void)
{
    return 42;
}
