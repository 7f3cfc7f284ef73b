#include "report.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static void line(const char *label, const char *format, va_list values)
{
    char text[8192];

    (void)vsnprintf(text, sizeof text, format, values);
    (void)dprintf(STDERR_FILENO, "%s: %s\n", label, text);
}

int fail(int code, const char *hint, const char *format, ...)
{
    va_list values;

    va_start(values, format);
    line("AppImage", format, values);
    va_end(values);
    if (hint != NULL)
        (void)dprintf(STDERR_FILENO, "  hint: %s\n", hint);
    return code;
}

void note(const char *format, ...)
{
    va_list values;

    va_start(values, format);
    line("AppImage", format, values);
    va_end(values);
}

bool watched(void)
{
    return isatty(STDERR_FILENO) == 1;
}
