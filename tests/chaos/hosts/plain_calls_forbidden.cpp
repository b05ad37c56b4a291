// The control of forbid_shim: calls one forbidden function, named by the second argument, on a
// thread whose name is the first. Ends with 0 when it has come through.
#include <cxxabi.h>
#include <dirent.h>
#include <dlfcn.h>
#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <time.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>

namespace {

// Volatile: what is unused or constant must be called all the same.
void* volatile kept;
volatile std::size_t some = 100;
const char* volatile text = "text";
std::FILE* nothing;
// The headers have these two inline.
int (*volatile plain_putchar)(int) = putchar;
int (*volatile plain_vprintf)(const char*, va_list) = vprintf;
pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;

int with_list(int (*call)(va_list), ...) {
    va_list list;
    va_start(list, call);
    const int done = call(list);
    va_end(list);
    return done;
}

struct forbidden {
    const char* name;
    void (*call)();
};

const forbidden all[] = {
    {"malloc", [] { kept = std::malloc(some); }},
    {"calloc", [] { kept = std::calloc(some, 2); }},
    {"realloc", [] { kept = std::realloc(kept, some); }},
    {"free", [] { std::free(kept); }},
    {"operator new", [] { kept = ::operator new(some); }},
    {"posix_memalign",
     [] {
         void* at = nullptr;
         if (posix_memalign(&at, 64, some) == 0) kept = at;
     }},
    {"aligned_alloc", [] { kept = std::aligned_alloc(64, 64); }},
    {"memalign", [] { kept = memalign(64, some); }},
    {"reallocarray", [] { kept = reallocarray(nullptr, some, 2); }},
    {"dlopen", [] { kept = dlopen(nullptr, RTLD_NOW); }},
    {"dlsym", [] { kept = dlsym(RTLD_DEFAULT, text); }},
    {"dladdr",
     [] {
         Dl_info info;
         dladdr(&mutex, &info);
     }},
    {"dladdr1",
     [] {
         Dl_info info;
         void* extra = nullptr;
         dladdr1(&mutex, &info, &extra, RTLD_DL_SYMENT);
     }},
    {"dl_iterate_phdr",
     [] { dl_iterate_phdr([](dl_phdr_info*, std::size_t, void*) { return 1; }, nullptr); }},
    {"dlclose", [] { dlclose(kept); }},
    {"dlerror", [] { kept = dlerror(); }},
    {"dlinfo",
     [] {
         link_map* map = nullptr;
         dlinfo(kept, RTLD_DI_LINKMAP, &map);
     }},
    {"fopen", [] { kept = std::fopen(text, "r"); }},
    {"fdopen", [] { kept = fdopen(0, "r"); }},
    {"fclose", [] { std::fclose(nothing); }},
    {"fwrite", [] { std::fwrite(text, 1, some / 50, stdout); }},
    {"fread",
     [] {
         char byte[2];
         some = std::fread(byte, 1, 1, nothing);
     }},
    {"fgets",
     [] {
         char line[2];
         kept = std::fgets(line, sizeof line, nothing);
     }},
    {"fputs", [] { std::fputs(text, stdout); }},
    {"fputc", [] { std::fputc(text[0], stdout); }},
    {"puts", [] { std::puts(text); }},
    {"putchar", [] { plain_putchar(text[0]); }},
    {"fflush", [] { std::fflush(stdout); }},
    {"vfprintf", [] { with_list([](va_list list) { return vfprintf(stdout, text, list); }); }},
    {"vprintf", [] { with_list([](va_list list) { return plain_vprintf(text, list); }); }},
    {"vdprintf", [] { with_list([](va_list list) { return vdprintf(1, text, list); }); }},
    {"vsnprintf",
     [] {
         with_list([](va_list list) {
             char to[8];
             return vsnprintf(to, sizeof to, text, list);
         });
     }},
    {"fprintf", [] { std::fprintf(stdout, "%zu", some); }},
    {"printf", [] { std::printf("%zu", some); }},
    {"dprintf", [] { dprintf(1, "%zu", some); }},
    {"snprintf",
     [] {
         char to[8];
         std::snprintf(to, sizeof to, "%zu", some);
     }},
    {"pthread_mutex_lock", [] { pthread_mutex_lock(&mutex); }},
    {"pthread_rwlock_rdlock", [] { pthread_rwlock_rdlock(&rwlock); }},
    {"pthread_rwlock_wrlock", [] { pthread_rwlock_wrlock(&rwlock); }},
    {"pthread_once",
     [] {
         static pthread_once_t once = PTHREAD_ONCE_INIT;
         pthread_once(&once, [] {});
     }},
    {"pthread_create",
     [] {
         pthread_t made;
         pthread_create(&made, nullptr, [](void*) -> void* { return nullptr; }, nullptr);
     }},
    {"sem_wait",
     [] {
         sem_t semaphore;
         sem_init(&semaphore, 0, 1);
         sem_wait(&semaphore);
     }},
    {"opendir", [] { kept = opendir("/"); }},
    {"readdir", [] { kept = readdir(static_cast<DIR*>(kept)); }},
    {"localtime_r",
     [] {
         const time_t now = 0;
         tm to;
         localtime_r(&now, &to);
     }},
    {"gmtime_r",
     [] {
         const time_t now = 0;
         tm to;
         gmtime_r(&now, &to);
     }},
    {"strftime",
     [] {
         const tm when{};
         char to[32];
         some = strftime(to, sizeof to, "%F", &when);
     }},
    {"getenv", [] { kept = std::getenv(text); }},
    {"__cxa_allocate_exception",
     [] {
         try {
             throw 1;
         } catch (int) {
         }
     }},
    {"__cxa_demangle",
     [] {
         int status = 0;
         kept = abi::__cxa_demangle("3foo", nullptr, nullptr, &status);
     }},
};

const forbidden* chosen;

/// What the function needs to be called at all, made where it is allowed.
void prepare() {
    nothing = std::fopen("/dev/null", "r");
    if (std::strcmp(chosen->name, "dlclose") == 0 || std::strcmp(chosen->name, "dlinfo") == 0)
        kept = dlopen(nullptr, RTLD_NOW);
    if (std::strcmp(chosen->name, "readdir") == 0) kept = opendir("/");
    if (std::strcmp(chosen->name, "free") == 0 || std::strcmp(chosen->name, "realloc") == 0)
        kept = std::malloc(some);
}

}  // namespace

int main(int count, char** arguments) {
    if (count == 1) {
        for (const forbidden& each : all) std::printf("%s\n", each.name);
        return 0;
    }
    for (const forbidden& each : all)
        if (count == 3 && std::strcmp(each.name, arguments[2]) == 0) chosen = &each;
    if (chosen == nullptr) return 2;
    prepare();
    pthread_t thread;
    const auto body = [](void* name) -> void* {
        pthread_setname_np(pthread_self(), static_cast<const char*>(name));
        chosen->call();
        return nullptr;
    };
    if (pthread_create(&thread, nullptr, body, arguments[1]) != 0) return 3;
    pthread_join(thread, nullptr);
    return 0;
}
