// A module that threads_churn_test loads and unloads while its stacks are taken.
extern "C" void corodump_test_call(void (*function)()) {
    function();
    asm volatile("" ::: "memory");
}
