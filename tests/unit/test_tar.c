#include "base/exec.h"
#include "base/tar.h"
#include <setjmp.h>

#include <cmocka.h>

static void add_file(struct buf *archive, const char *path, unsigned mode, const char *text)
{
	tar_add_header(path, mode, strlen(text), archive);
	buf_add_str(archive, text);
	for (size_t i = tar_padding(strlen(text)); i; i--)
		buf_add_char(archive, '\0');
}

/* Output of tar on an archive; "" if there is no tar. */
static void run_tar(const struct buf *archive, const char *how, struct buf *out)
{
	static const char *const environment[] = {"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC", NULL};
	const char *const argv[] = {"tar", how, "-", NULL};
	struct exec_request request = EXEC_REQUEST_INIT;
	struct exec_result result;
	struct error err;
	request.argv = argv;
	request.environ_ = environment;
	request.input = archive->text;
	request.input_len = archive->len;
	if (!exec_run(&request, &result, &err)) {
		print_message("skipped: %s\n", err.message);
		skip();
	}
	if (result.exit_status)
		fail_msg("%s", result.output.text);
	buf_add(out, result.output.text, result.output.len);
	exec_result_clear(&result);
}

static void every_tar_lists_what_was_added(void **state)
{
	(void)state;
	auto_buf struct buf archive = BUF_INIT(100000);
	auto_buf struct buf listed = BUF_INIT(10000);
	auto_buf struct buf longest = BUF_INIT(1000);
	for (int i = 0; i < 30; i++)
		buf_add_str(&longest, "a folder/");
	buf_add_str(&longest, "file");
	add_file(&archive, "./one", 0644, "1\n");
	add_file(&archive, "./deep/er/two", 0600, "");
	add_file(&archive, longest.text, 0755, "three");
	tar_add_end(&archive);
	assert_int_equal(archive.len % TAR_BLOCK, 0);
	run_tar(&archive, "-tvf", &listed);
	assert_non_null(strstr(listed.text, "-rw-r--r-- 0/0"));
	assert_non_null(strstr(listed.text, "1970-01-01 00:00 ./one\n"));
	assert_non_null(strstr(listed.text, "-rw-------"));
	assert_non_null(strstr(listed.text, longest.text));
}

static void contents_come_out_as_they_went_in(void **state)
{
	(void)state;
	auto_buf struct buf archive = BUF_INIT(100000);
	auto_buf struct buf text = BUF_INIT(10000);
	auto_buf struct buf wanted = BUF_INIT(10000);
	for (size_t len = 0; len <= 2 * TAR_BLOCK; len += 73) {
		auto_free char *path = mem_printf("./%zu", len);
		auto_free char *bytes = mem_zero(1, len + 1);
		memset(bytes, 'a' + (int)(len % 26), len);
		add_file(&archive, path, 0644, bytes);
		buf_add_str(&wanted, bytes);
	}
	tar_add_end(&archive);
	run_tar(&archive, "-xOf", &text);
	assert_string_equal(text.text, wanted.text);
}

static void an_archive_of_nothing_is_whole(void **state)
{
	(void)state;
	auto_buf struct buf archive = BUF_INIT(100000);
	auto_buf struct buf listed = BUF_INIT(100);
	tar_add_end(&archive);
	run_tar(&archive, "-tf", &listed);
	assert_string_equal(listed.text, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_tar_lists_what_was_added),
		cmocka_unit_test(contents_come_out_as_they_went_in),
		cmocka_unit_test(an_archive_of_nothing_is_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
