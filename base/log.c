#include "base/log.h"
#include "base/clock.h"
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#define LOG_LINE_MAX 8192 /* a line of journald's default LineMax is 48 KiB; stay far below */

static struct {
	pthread_mutex_t lock;
	int fd;
	enum log_level least;
	enum log_format format;
	void (*mask)(struct buf *line);
} sink = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = 2, .least = LOG_INFO};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_setup(int fd, enum log_level least, enum log_format format)
{
	pthread_mutex_lock(&sink.lock);
	sink.fd = fd;
	sink.least = least;
	sink.format = format;
	pthread_mutex_unlock(&sink.lock);
}

void log_set_mask(void (*mask)(struct buf *line))
{
	pthread_mutex_lock(&sink.lock);
	sink.mask = mask;
	pthread_mutex_unlock(&sink.lock);
}

/* Plain words stay bare; everything else is quoted as in JSON, so that a line can be split again.
 */
static void add_text_value(struct buf *line, const char *text)
{
	static const char bare[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				   "-_./:@%+,";
	size_t len = strlen(text);
	if (len && strspn(text, bare) == len) {
		buf_add(line, text, len);
		return;
	}
	buf_add_char(line, '"');
	buf_add_json(line, text, len);
	buf_add_char(line, '"');
}

static void format_text(struct buf *line, enum log_level level, const char *text,
	const struct log_field *fields, size_t count)
{
	char now[CLOCK_TEXT_SIZE];
	buf_addf(line, "%s %-5s %s", clock_format(clock_wall_s(), now), level_names[level], text);
	for (size_t i = 0; i < count; i++) {
		buf_addf(line, " %s=", fields[i].key);
		if (fields[i].text)
			add_text_value(line, fields[i].text);
		else
			buf_addf(line, "%lld", fields[i].number);
	}
}

static void format_json(struct buf *line, enum log_level level, const char *text,
	const struct log_field *fields, size_t count)
{
	char now[CLOCK_TEXT_SIZE];
	buf_addf(line, "{\"time\":\"%s\",\"level\":\"%s\",\"message\":\"",
		clock_format(clock_wall_s(), now), level_names[level]);
	buf_add_json(line, text, strlen(text));
	buf_add_char(line, '"');
	for (size_t i = 0; i < count; i++) {
		buf_addf(line, ",\"%s\":", fields[i].key);
		if (!fields[i].text) {
			buf_addf(line, "%lld", fields[i].number);
			continue;
		}
		buf_add_char(line, '"');
		buf_add_json(line, fields[i].text, strlen(fields[i].text));
		buf_add_char(line, '"');
	}
	buf_add_char(line, '}');
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
	pthread_mutex_lock(&sink.lock);
	if (level >= sink.least && sink.fd >= 0) {
		auto_buf struct buf line = BUF_INIT(LOG_LINE_MAX);
		(sink.format == LOG_JSON ? format_json : format_text)(
			&line, level, text, fields, count);
		if (sink.mask)
			sink.mask(&line);
		line.limit++; /* a full line still gets its end */
		line.overflow = false;
		buf_add_char(&line, '\n');
		write_all(sink.fd, line.text, line.len);
	}
	pthread_mutex_unlock(&sink.lock);
}
