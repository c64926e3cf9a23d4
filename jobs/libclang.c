/* Will bindgen, by which the bindings to MPI are made, be able to use this libclang? It must load, and find the
 * headers that a compiler brings along: a package without them reads no C at all.
 *   libclang LIBRARY FILE.h [FLAG…]      the exit code is 0 when FILE.h was read without a complaint */
#include <dlfcn.h>
#include <stdio.h>

int main(int count, char **words) {
    void *library = count > 2 ? dlopen(words[1], RTLD_NOW) : NULL;
    if (!library) {
        fprintf(stderr, "%s\n", count > 2 ? dlerror() : "usage: libclang LIBRARY FILE.h [FLAG...]");
        return 2;
    }
    void *(*create_index)(int, int) = (void *(*)(int, int))dlsym(library, "clang_createIndex");
    void *(*parse)(void *, const char *, char *const *, int, void *, unsigned, unsigned) =
        (void *(*)(void *, const char *, char *const *, int, void *, unsigned, unsigned))
            dlsym(library, "clang_parseTranslationUnit");
    unsigned (*complaints)(void *) = (unsigned (*)(void *))dlsym(library, "clang_getNumDiagnostics");
    if (!create_index || !parse || !complaints) {
        fprintf(stderr, "%s is no libclang\n", words[1]);
        return 2;
    }
    /* The second argument makes it print what it complains of. */
    void *unit = parse(create_index(0, 1), words[2], words + 3, count - 3, NULL, 0, 0);
    return !unit || complaints(unit) > 0;
}
