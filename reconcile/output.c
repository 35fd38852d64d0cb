#include "reconcile/output.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/utf8.h"
#include "reconcile/secrets/secret.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- harmless text ------------------------------------------------------------------------------
 */

/* Is this byte a part of ESC [ ... and no text? */
static bool skip_sequence(struct output_cleaner *cleaner, unsigned char c)
{
	if (cleaner->state == CLEANER_ESCAPE) {
		cleaner->state = c == '[' ? CLEANER_SEQUENCE : CLEANER_TEXT;
		return c >= 0x20 && c < 0x7F;
	}
	if (cleaner->state == CLEANER_SEQUENCE) {
		bool more = c >= 0x20 && c < 0x40, last = c >= 0x40 && c < 0x7F;
		if (!more)
			cleaner->state = CLEANER_TEXT;
		return more || last;
	}
	return false;
}

static void clean_char(
	struct output_cleaner *cleaner, const char *text, size_t width, struct buf *out)
{
	unsigned char c = (unsigned char)*text;
	bool line_ended = cleaner->after_return;
	if (width < 2 && skip_sequence(cleaner, c))
		return;
	cleaner->state = CLEANER_TEXT;
	cleaner->after_return = c == '\r';
	if (c == 0x1B)
		cleaner->state = CLEANER_ESCAPE;
	else if (c == '\n' && line_ended)
		return;
	else if (c == '\n' || c == '\r')
		buf_add_char(out, '\n');
	else if (c == '\t')
		buf_add_char(out, '\t');
	else
		buf_add_clean(out, text, width ? width : 1);
}

/* Could these bytes, which are no character, become one when more come? */
static bool is_torn(const char *text, size_t len)
{
	unsigned char c = (unsigned char)*text;
	size_t whole = c >= 0xF0 && c < 0xF5 ? 4 : c >= 0xE0 ? 3 : c >= 0xC2 ? 2 : 1;
	if (c >= 0xF5 || len >= whole)
		return false;
	for (size_t i = 1; i < len; i++)
		if (((unsigned char)text[i] & 0xC0) != 0x80)
			return false;
	return true;
}

void output_clean(struct output_cleaner *cleaner, const char *bytes, size_t len, struct buf *out)
{
	auto_buf struct buf text = BUF_INIT(SIZE_MAX / 2);
	buf_add(&text, cleaner->torn, cleaner->torn_len);
	buf_add(&text, bytes, len);
	cleaner->torn_len = 0;
	for (size_t i = 0; i < text.len;) {
		size_t width = utf8_width(text.text + i, text.len - i);
		if (!width && is_torn(text.text + i, text.len - i)) {
			cleaner->torn_len = text.len - i;
			memcpy(cleaner->torn, text.text + i, cleaner->torn_len);
			return;
		}
		clean_char(cleaner, text.text + i, width, out);
		i += width ? width : 1;
	}
}

/* ---- the file -----------------------------------------------------------------------------------
 */

static void keep_tail(struct output *output, const char *bytes, size_t len)
{
	auto_buf struct buf joined = BUF_INIT(SIZE_MAX / 2);
	buf_add(&joined, output->tail.text, output->tail.len);
	buf_add(&joined, bytes, len);
	size_t cut = joined.len > OUTPUT_TAIL_MAX ? joined.len - OUTPUT_TAIL_MAX : 0;
	buf_clear(&output->tail);
	buf_add(&output->tail, joined.text + cut, joined.len - cut);
}

static void write_file(struct output *output, const char *text, size_t len)
{
	if (output->fd < 0 || !len)
		return;
	output->in_line = text[len - 1] != '\n';
	if (write(output->fd, text, len) == (ssize_t)len)
		return;
	log_warn("output of a step could not be written", LOG_INT("errno", errno));
	close(output->fd);
	output->fd = -1;
}

/* A line of ours between the output. */
PRINTF(2, 3) static void write_note(struct output *output, const char *format, ...)
{
	char now[CLOCK_TEXT_SIZE];
	auto_buf struct buf line = BUF_INIT(4096);
	va_list args;
	va_start(args, format);
	if (output->in_line)
		buf_add_char(&line, '\n');
	buf_addf(&line, "--- %s ", clock_format(clock_wall_s(), now));
	buf_addv(&line, format, args);
	va_end(args);
	buf_add_char(&line, '\n');
	secret_mask(&line);
	write_file(output, line.text, line.len);
}

static void take_shown(void *data, const char *text, size_t len)
{
	struct output *output = data;
	keep_tail(output, text, len);
	if (output->written > OUTPUT_MAX)
		return;
	size_t room = OUTPUT_MAX - output->written;
	output->written += len;
	if (len <= room) {
		write_file(output, text, len);
		return;
	}
	while (room && ((unsigned char)text[room] & 0xC0) == 0x80)
		room--; /* no torn character */
	write_file(output, text, room);
	write_note(output, "output over 1 MiB was dropped");
}

static void take_raw(void *data, const char *bytes, size_t len)
{
	struct output *output = data;
	auto_buf struct buf clean = BUF_INIT(SIZE_MAX / 2);
	output_clean(&output->cleaner, bytes, len, &clean);
	secret_stream_add(output->shown, clean.text, clean.len);
}

static char *path_of(const struct output_place *place)
{
	return mem_printf("%s/%s/%s.log", place->log_dir, place->rollout, place->client);
}

static int open_log(const struct output_place *place)
{
	struct error err;
	struct stat st;
	auto_free char *folder = mem_printf("%s/%s", place->log_dir, place->rollout);
	auto_free char *path = path_of(place);
	if (!fs_make_folders(folder, 0700, &err)) {
		log_warn("output of a step is not kept", LOG_ERROR_FIELD(&err));
		return -1;
	}
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || fstat(fd, &st) < 0)
		log_warn("output of a step is not kept", LOG_STR("file", path),
			LOG_INT("errno", errno));
	else if ((size_t)st.st_size < OUTPUT_FILE_MAX)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

void output_begin(struct output *output, const struct output_place *place, const char *step)
{
	*output = (struct output){
		.step = step, .fd = open_log(place), .tail = BUF_INIT(OUTPUT_TAIL_MAX)};
	output->raw = secret_stream_new(take_raw, output);
	output->shown = secret_stream_new(take_shown, output);
	write_note(output, "%s", step);
}

void output_add(void *data, const char *bytes, size_t len)
{
	struct output *output = data;
	secret_stream_add(output->raw, bytes, len);
}

void output_end(struct output *output, bool ok, struct error *err)
{
	auto_buf struct buf torn = BUF_INIT(sizeof(output->cleaner.torn));
	secret_stream_end(output->raw);
	buf_add_clean(&torn, output->cleaner.torn, output->cleaner.torn_len);
	secret_stream_add(output->shown, torn.text, torn.len);
	secret_stream_end(output->shown);
	while (output->tail.len && strchr(" \r\n", output->tail.text[output->tail.len - 1]))
		buf_truncate(&output->tail, output->tail.len - 1);
	/* The last line of the output tells more than an exit status. */
	const char *line = strrchr(output->tail.text, '\n');
	line = line ? line + 1 : output->tail.text;
	if (ok)
		write_note(output, "%s: done", output->step);
	else
		write_note(output, "%s: failed: %s", output->step, err->message);
	if (!ok && *line) {
		auto_buf struct buf clean = BUF_INIT(4 * OUTPUT_TAIL_MAX);
		size_t used = strlen(err->message);
		buf_add_clean(&clean, line, strlen(line));
		(void)snprintf(
			err->message + used, sizeof(err->message) - used, ": %s", clean.text);
	}
	buf_clear(&output->tail);
	if (output->fd >= 0)
		close(output->fd);
}

/* ---- reading it ---------------------------------------------------------------------------------
 */

/* Somebody may be writing, and whoever asks may ask from anywhere: keeps whole characters. */
static void keep_whole(struct buf *text, size_t *skipped_out)
{
	size_t skip = 0, end = 0;
	while (skip < text->len && skip < 3 && ((unsigned char)text->text[skip] & 0xC0) == 0x80)
		skip++;
	auto_free char *rest = mem_dup(text->text + skip, text->len - skip);
	size_t len = text->len - skip;
	for (size_t width; end < len && (width = utf8_width(rest + end, len - end)); end += width)
		continue;
	buf_truncate(text, 0);
	buf_add(text, rest, end);
	*skipped_out = skip;
}

bool output_read(const struct output_place *place, int64_t from, struct buf *text, int64_t *end_out,
	struct error *err)
{
	char bytes[1 << 14];
	auto_free char *path = path_of(place);
	size_t skipped;
	ssize_t got = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	*end_out = from;
	if (fd < 0)
		return errno == ENOENT || error_errno(err, errno, "file '%s'", path);
	while (text->len < OUTPUT_READ_MAX &&
		(got = pread(fd, bytes, sizeof(bytes), from + (off_t)text->len)) > 0)
		buf_add(text, bytes, (size_t)got);
	int errnum = errno;
	close(fd);
	if (got < 0)
		return error_errno(err, errnum, "file '%s'", path);
	keep_whole(text, &skipped);
	*end_out = from + (int64_t)(skipped + text->len);
	return true;
}

/* ---- old ones ----------------------------------------------------------------------------------
 */

static bool read_folders(const char *log_dir, struct strlist *names)
{
	DIR *dir = opendir(log_dir);
	const struct dirent *entry;
	if (!dir)
		return errno == ENOENT; /* nothing was kept yet */
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			strlist_add(names, entry->d_name);
	closedir(dir);
	strlist_sort(names); /* ids begin with their time */
	return true;
}

void output_prune(const char *log_dir, size_t keep)
{
	auto_strlist struct strlist names = STRLIST_INIT;
	struct error err;
	if (!read_folders(log_dir, &names)) {
		log_warn("old output was not deleted", LOG_STR("folder", log_dir),
			LOG_INT("errno", errno));
		return;
	}
	for (size_t i = 0; i + keep < names.count; i++) {
		auto_free char *path = mem_printf("%s/%s", log_dir, names.items[i]);
		if (!fs_remove_tree(path, &err))
			log_warn("old output was not deleted", LOG_ERROR_FIELD(&err));
	}
}
