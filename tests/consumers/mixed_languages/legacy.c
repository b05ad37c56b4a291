#ifdef __cplusplus
#error "this file is C"
#endif

int legacy_answer(void) {
    return 40;
}
