/* Any bytes as an inventory, behind a line "%%" as group_vars and host_vars: no crash, bounded
 * work, and JSON of what was read. */
#include "reconcile/inventory.h"

#include <sys/stat.h>
#include <unistd.h>

#define CLIENTS INVENTORY_DEFAULT_PATH

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const folders[] = {
	"ansible", "ansible/inventory", "ansible/group_vars", "ansible/host_vars"};
static const char *const files[] = {CLIENTS, "ansible/group_vars/all.yml", "ansible/host_vars/a"};

static char *join(const char *folder, const char *path)
{
	return mem_printf("%s/%s", folder, path);
}

static bool write_file(const char *path, const uint8_t *data, size_t size)
{
	auto_file FILE *file = fopen(path, "w");
	return file && fwrite(data, 1, size, file) == size;
}

/* The parts of the input into their files; the last part is the rest. */
static bool write_files(const char *folder, const uint8_t *data, size_t size)
{
	static const char mark[] = "\n%%\n";

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		auto_free char *path = join(folder, files[i]);
		const uint8_t *end =
			i + 1 < ARRAY_LEN(files) ? memmem(data, size, mark, strlen(mark)) : NULL;
		size_t len = end ? (size_t)(end - data) : size;
		size_t skip = end ? len + strlen(mark) : len;
		if (!write_file(path, data, len))
			return false;
		data += skip;
		size -= skip;
	}
	return true;
}

static void load(const char *folder)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	auto_tree struct tree *tree = NULL;
	auto_problems struct problems problems = {0};
	auto_buf struct buf json = BUF_INIT(1 << 20);
	struct inventory *inventory = NULL;
	struct error err = {0};

	if (!tree_open_folder(folder, &tree, &err))
		abort();
	if (inventory_load(tree, CLIENTS, arena, &inventory, NULL, &problems))
		inventory_to_json(inventory, &json);
	else if (!problems.errors)
		abort();
}

static void remove_all(const char *folder)
{
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		auto_free char *path = join(folder, files[i]);
		(void)unlink(path); /* what stays makes the last rmdir() fail */
	}
	for (size_t i = ARRAY_LEN(folders); i-- > 0;) {
		auto_free char *path = join(folder, folders[i]);
		(void)rmdir(path); /* as above */
	}
	if (rmdir(folder))
		abort();
}

/* Each input has a folder of its own, so that several runs can go on in parallel. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready; /* starting libgit2 takes longer than any input */
	char scratch[] = "/tmp/aviary-fuzz-XXXXXX";
	struct error err = {0};

	ready = ready || repo_library_init(&err);
	if (!ready || !mkdtemp(scratch))
		abort();
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		auto_free char *path = join(scratch, folders[i]);
		if (mkdir(path, 0700))
			abort();
	}
	if (!write_files(scratch, data, size))
		abort();
	load(scratch);
	remove_all(scratch);
	return 0;
}
