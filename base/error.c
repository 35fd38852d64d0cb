#include "base/error.h"
#include <stdarg.h>

/* One row per code: what each kind of caller does with it. */
static const struct {
	const char *name;
	int exit_status;
	int http_status;
	bool transient;
} codes[ERR_CODES] = {
	[ERR_NONE] = {"none", 0, 200, false},
	[ERR_INVALID] = {"invalid", 1, 400, false},
	[ERR_REFUSED] = {"refused", 1, 409, false},
	[ERR_NOT_FOUND] = {"not-found", 1, 404, false},
	[ERR_REJECTED] = {"rejected", 1, 409, true},
	[ERR_AUTH] = {"auth", 1, 401, false},
	[ERR_UNREACHABLE] = {"unreachable", 3, 502, true},
	[ERR_TIMEOUT] = {"timeout", 3, 504, true},
	[ERR_STOPPED] = {"stopped", 1, 503, true},
	[ERR_SYSTEM] = {"system", 1, 500, true},
};

/* Cut text that filled its field so that no UTF-8 sequence is torn apart. */
static void trim_torn_utf8(char *text, size_t size)
{
	size_t len = strlen(text);
	if (len + 1 < size)
		return;
	size_t start = len;
	while (start > 0 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
		start--;
	if (start == 0)
		return;
	unsigned char lead = (unsigned char)text[start - 1];
	size_t need = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
	if (len - (start - 1) < need)
		text[start - 1] = '\0';
}

static void format_field(char *field, size_t size, const char *format, va_list args)
{
	(void)vsnprintf(field, size, format, args); /* cutting long text is the intent */
	trim_torn_utf8(field, size);
}

bool error_set(struct error *err, enum error_code code, const char *format, ...)
{
	va_list args;
	err->code = code;
	err->where[0] = '\0';
	err->hint[0] = '\0';
	va_start(args, format);
	format_field(err->message, sizeof(err->message), format, args);
	va_end(args);
	return false;
}

bool error_wrap(struct error *err, const char *format, ...)
{
	char inner[sizeof(err->message)];
	va_list args;
	memcpy(inner, err->message, sizeof(inner));
	va_start(args, format);
	format_field(err->message, sizeof(err->message), format, args);
	va_end(args);
	size_t used = strlen(err->message);
	(void)snprintf(err->message + used, sizeof(err->message) - used, ": %s", inner);
	trim_torn_utf8(err->message, sizeof(err->message));
	return false;
}

bool error_at(struct error *err, const char *file, unsigned line)
{
	if (err->where[0])
		return false;
	if (line)
		(void)snprintf(err->where, sizeof(err->where), "%s:%u", file, line);
	else
		(void)snprintf(err->where, sizeof(err->where), "%s", file);
	trim_torn_utf8(err->where, sizeof(err->where));
	return false;
}

bool error_hint(struct error *err, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	format_field(err->hint, sizeof(err->hint), format, args);
	va_end(args);
	return false;
}

bool error_errno(struct error *err, int errnum, const char *format, ...)
{
	char reason[128];
	va_list args;
	err->code = ERR_SYSTEM;
	err->where[0] = '\0';
	err->hint[0] = '\0';
	va_start(args, format);
	format_field(err->message, sizeof(err->message), format, args);
	va_end(args);
	size_t used = strlen(err->message);
	(void)snprintf(err->message + used, sizeof(err->message) - used, ": %s",
		strerror_r(errnum, reason, sizeof(reason)));
	trim_torn_utf8(err->message, sizeof(err->message));
	return false;
}

const char *error_line(const struct error *err, char *text, size_t size)
{
	(void)snprintf(text, size, "%s%s%s%s%s", err->where, err->where[0] ? ": " : "",
		err->message, err->hint[0] ? ": " : "", err->hint);
	trim_torn_utf8(text, size);
	return text;
}

const char *error_code_name(enum error_code code)
{
	return code < ERR_CODES ? codes[code].name : "unknown";
}

int error_exit_status(enum error_code code)
{
	return code < ERR_CODES ? codes[code].exit_status : 1;
}

int error_http_status(enum error_code code)
{
	return code < ERR_CODES ? codes[code].http_status : 500;
}

bool error_is_transient(enum error_code code)
{
	return code < ERR_CODES && codes[code].transient;
}
