/* base/log.h - one fact, one line: `time level text key=value ...`, or JSON
 *
 * The text is constant, the data are fields with design.md's words as keys. Values are cleaned of
 * control characters and pass the mask, so that no secret gets out. The sink and the mask are the
 * only mutable file-scope state of the program.
 * Threads: any.
 */
#pragma once
#include "base/buf.h"
#include "base/error.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON };

struct log_field {
	const char *key;
	const char *text; /* NULL: number */
	long long number;
};
static inline const char *log_text(const char *text)
{
	return text ? text : "";
}
#define LOG_STR(k, v) ((struct log_field){.key = (k), .text = log_text(v)})
#define LOG_INT(k, v) ((struct log_field){.key = (k), .number = (long long)(v)})

/** Where lines go. Call before threads start. @param fd  borrowed; -1 turns logging off */
void log_setup(int fd, enum log_level least, enum log_format format);

/** A function that replaces secret values in @p line by asterisks; see secrets/secret.h.
 *  Called for each line before it is written, in any thread. Call before threads start.
 *  NULL: none. */
void log_set_mask(void (*mask)(struct buf *line));

/** One line, whole or not at all; the macros below fill in the fields. Any thread. */
void log_write(
	enum log_level level, const char *text, const struct log_field *fields, size_t count);
#define LOG_FIELDS(...) ((struct log_field[]){{0}, ##__VA_ARGS__})
#define log_at(level, text, ...)                                                                   \
	log_write((level), (text), LOG_FIELDS(__VA_ARGS__) + 1,                                    \
		ARRAY_LEN(LOG_FIELDS(__VA_ARGS__)) - 1)
#define log_debug(text, ...) log_at(LOG_DEBUG, text, ##__VA_ARGS__)
#define log_info(text, ...)  log_at(LOG_INFO, text, ##__VA_ARGS__)
#define log_warn(text, ...)  log_at(LOG_WARN, text, ##__VA_ARGS__)
#define log_err(text, ...)   log_at(LOG_ERROR, text, ##__VA_ARGS__)
/** The fields of an error: message, where, hint as one `error=` field. */
#define LOG_ERROR_FIELD(err) LOG_STR("error", error_line((err), (char[1500]){0}, 1500))
