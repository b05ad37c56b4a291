static_assert(__cplusplus == 201703L, "this file is C++17");

int classic_answer() {
    return 2;
}
