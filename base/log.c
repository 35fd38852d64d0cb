#include "base/log.h"
#include "base/clock.h"
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#define LOG_LINE_MAX 8192 /* a line of journald's default LineMax is 48 KiB; stay far below */

#define VALUE_READ_MAX ((size_t)64 << 10) /* bytes of a value that are looked at */
#define VALUE_TAIL     ((size_t)8 << 10)  /* longer than any secret's spelling that the cut tears */

/* All but the lock is set before threads start; lines are formatted without it. */
static struct {
	pthread_mutex_t lock; /* of writing, so that lines stay whole */
	int fd;
	enum log_level least;
	enum log_format format;
	void (*mask)(struct buf *line);
} sink = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = 2, .least = LOG_INFO};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_setup(int fd, enum log_level least, enum log_format format)
{
	sink.fd = fd;
	sink.least = least;
	sink.format = format;
}

void log_set_mask(void (*mask)(struct buf *line))
{
	sink.mask = mask;
}

struct record {
	enum log_level level;
	const char *text;
	const struct log_field *fields;
	size_t count;
	size_t value_max; /* bytes of each value that are shown */
};

/* The mask works on whole values, before anything is cut: half a secret would not be found. */
static void read_value(struct buf *value, const char *text, size_t max)
{
	size_t len = strlen(text);
	bool cut = len > VALUE_READ_MAX;
	buf_add(value, text, cut ? VALUE_READ_MAX : len);
	if (sink.mask)
		sink.mask(value);
	if (cut)
		buf_truncate(value, value->len > VALUE_TAIL ? value->len - VALUE_TAIL : 0);
	if (value->len <= max)
		return;
	while (max > 0 && ((unsigned char)value->text[max] & 0xC0) == 0x80)
		max--;
	buf_truncate(value, max);
	buf_add_str(value, "...");
}

/* Plain words stay bare; everything else is quoted as in JSON, so that a line can be split again.
 */
static void add_text_value(struct buf *line, const struct buf *value)
{
	static const char bare[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				   "-_./:@%+,*";
	if (value->len && strspn(value->text, bare) == value->len) {
		buf_add(line, value->text, value->len);
		return;
	}
	buf_add_char(line, '"');
	buf_add_json(line, value->text, value->len);
	buf_add_char(line, '"');
}

static void format_text(struct buf *line, const struct record *record)
{
	char now[CLOCK_TEXT_SIZE];
	buf_addf(line, "%s %-5s %s", clock_format(clock_wall_s(), now), level_names[record->level],
		record->text);
	for (size_t i = 0; i < record->count; i++) {
		const struct log_field *field = &record->fields[i];
		buf_addf(line, " %s=", field->key);
		if (!field->text) {
			buf_addf(line, "%lld", field->number);
			continue;
		}
		auto_buf struct buf value = BUF_INIT_SECRET(VALUE_READ_MAX + 8);
		read_value(&value, field->text, record->value_max);
		add_text_value(line, &value);
	}
}

static void format_json(struct buf *line, const struct record *record)
{
	char now[CLOCK_TEXT_SIZE];
	buf_addf(line, "{\"time\":\"%s\",\"level\":\"%s\",\"message\":\"",
		clock_format(clock_wall_s(), now), level_names[record->level]);
	buf_add_json(line, record->text, strlen(record->text));
	buf_add_char(line, '"');
	for (size_t i = 0; i < record->count; i++) {
		const struct log_field *field = &record->fields[i];
		buf_addf(line, ",\"%s\":", field->key);
		if (!field->text) {
			buf_addf(line, "%lld", field->number);
			continue;
		}
		auto_buf struct buf value = BUF_INIT_SECRET(VALUE_READ_MAX + 8);
		read_value(&value, field->text, record->value_max);
		buf_add_char(line, '"');
		buf_add_json(line, value.text, value.len);
		buf_add_char(line, '"');
	}
	buf_add_char(line, '}');
}

/* A line that would be too long shows less of each value, and stays a line that can be parsed. */
static void format_line(struct buf *line, struct record record)
{
	static const size_t value_max[] = {2048, 128, 16};
	for (size_t i = 0; i < ARRAY_LEN(value_max); i++) {
		record.value_max = value_max[i];
		buf_clear(line);
		(sink.format == LOG_JSON ? format_json : format_text)(line, &record);
		if (!buf_overflowed(line))
			return;
	}
	record.count = 0;
	buf_clear(line);
	(sink.format == LOG_JSON ? format_json : format_text)(line, &record);
}

static void write_all(int fd, const char *bytes, size_t len)
{
	while (len) {
		ssize_t done = write(fd, bytes, len);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return; /* a log that cannot be written must not stop the service */
		bytes += done;
		len -= (size_t)done;
	}
}

void log_write(enum log_level level, const char *text, const struct log_field *fields, size_t count)
{
	if (level < sink.least || sink.fd < 0)
		return;
	auto_buf struct buf line = BUF_INIT(LOG_LINE_MAX);
	format_line(&line, (struct record){level, text, fields, count, 0});
	if (sink.mask)
		sink.mask(&line);
	line.limit++; /* a full line still gets its end */
	line.overflow = false;
	buf_add_char(&line, '\n');
	pthread_mutex_lock(&sink.lock);
	write_all(sink.fd, line.text, line.len);
	pthread_mutex_unlock(&sink.lock);
}
