#include "reconcile/output.h"
#include "base/fs.h"
#include "base/log.h"
#include "reconcile/secrets/secret.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static void keep_tail(struct output *output, const char *bytes, size_t len)
{
	auto_buf struct buf joined = BUF_INIT(SIZE_MAX / 2);
	buf_add(&joined, output->tail.text, output->tail.len);
	buf_add(&joined, bytes, len);
	size_t cut = joined.len > OUTPUT_TAIL_MAX ? joined.len - OUTPUT_TAIL_MAX : 0;
	buf_clear(&output->tail);
	buf_add(&output->tail, joined.text + cut, joined.len - cut);
}

static void write_masked(void *data, const char *bytes, size_t len)
{
	static const char note[] = "\n[output over 1 MiB was dropped]\n";
	struct output *output = data;
	keep_tail(output, bytes, len);
	if (output->fd < 0 || output->written > OUTPUT_MAX)
		return;
	bool last = output->written + len > OUTPUT_MAX;
	size_t room = last ? OUTPUT_MAX - output->written : len;
	output->written += len;
	if (write(output->fd, bytes, room) < 0 ||
		(last && write(output->fd, note, sizeof(note) - 1) < 0)) {
		log_warn("output of activate could not be written", LOG_INT("errno", errno));
		close(output->fd);
		output->fd = -1;
	}
}

static int open_log(const char *log_dir, const char *rollout, const char *client)
{
	struct error err;
	auto_free char *folder = mem_printf("%s/%s", log_dir, rollout);
	auto_free char *path = mem_printf("%s/%s.log", folder, client);
	if (!fs_make_folders(folder, 0700, &err)) {
		log_warn("output of activate is not kept", LOG_ERROR_FIELD(&err));
		return -1;
	}
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		log_warn("output of activate is not kept", LOG_STR("file", path),
			LOG_INT("errno", errno));
	return fd;
}

void output_begin(
	struct output *output, const char *log_dir, const char *rollout, const char *client)
{
	*output = (struct output){
		.fd = open_log(log_dir, rollout, client), .tail = BUF_INIT(OUTPUT_TAIL_MAX)};
	output->masked = secret_stream_new(write_masked, output);
}

void output_add(void *data, const char *bytes, size_t len)
{
	struct output *output = data;
	secret_stream_add(output->masked, bytes, len);
}

void output_end(struct output *output, bool ok, struct error *err)
{
	secret_stream_end(output->masked);
	while (output->tail.len && strchr(" \r\n", output->tail.text[output->tail.len - 1]))
		buf_truncate(&output->tail, output->tail.len - 1);
	/* The last line of the output tells more than an exit status. */
	const char *line = strrchr(output->tail.text, '\n');
	line = line ? line + 1 : output->tail.text;
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
