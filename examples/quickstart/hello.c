// Reads the greeting that another process left and leaves one: run it beside the others of this directory.
//
//     cc hello.c $(pkg-config --cflags --libs splinter_p) -o hello
//     ./hello
#include <splinter.h>
#include <stdio.h>

int main(void) {
    char greeting[4096];
    size_t length = 0;
    if (splinter_open_or_create("hello.splinter", 1024, 4096) != 0) return perror("hello.splinter"), 1;
    splinter_get("greeting", greeting, sizeof greeting, &length);
    printf("c found \"%.*s\"\n", (int)length, greeting);
    splinter_set("greeting", "hello from C", 12);
    splinter_close();
    return 0;
}
