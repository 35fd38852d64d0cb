#include "reconcile/drivers/step_place.h"
#include "base/fs.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

struct step_place {
	char *folder;
	char *checkout;
	char *memory; /* path, or NULL: there is no folder in memory */
	bool memory_made;
	int fd; /* of folder */
	struct local_lock lock;
};

static bool is_in_memory(const char *folder)
{
	struct statfs facts;
	return statfs(folder, &facts) == 0 && access(folder, W_OK | X_OK) == 0 &&
	       (facts.f_type == TMPFS_MAGIC || facts.f_type == RAMFS_MAGIC);
}

/* The same name whenever this place is used, so that what a killed service left is found. */
static char *memory_path(int fd, const char *name)
{
	const char *const parents[] = {
		getenv("RUNTIME_DIRECTORY"), getenv("XDG_RUNTIME_DIR"), "/dev/shm", "/run/shm"};
	struct stat st;
	if (fstat(fd, &st) < 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(parents); i++)
		if (parents[i] && parents[i][0] == '/' && is_in_memory(parents[i]))
			return mem_printf("%s/aviary-%u-%llx-%s", parents[i], (unsigned)geteuid(),
				(unsigned long long)st.st_ino, name);
	return NULL;
}

static bool clear_place(struct step_place *place, struct error *err)
{
	return fs_remove_tree(place->checkout, err) &&
	       (!place->memory || fs_remove_tree(place->memory, err));
}

bool step_place_open(
	const struct step_place_options *options, struct step_place **place_out, struct error *err)
{
	auto_step_place struct step_place *place = mem_zero(1, sizeof(*place));
	place->fd = -1;
	place->lock = (struct local_lock)LOCAL_LOCK_INIT;
	place->folder = mem_printf("%s/%s", options->steps_dir, options->name);
	place->checkout = mem_printf("%s/checkout", place->folder);
	if (!fs_make_folders(place->folder, 0700, err))
		return false;
	place->fd = open(place->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (place->fd < 0)
		return error_errno(err, errno, "folder '%s'", place->folder);
	if (!local_lock_take(place->fd, options->wait_ms, options->cancel_fd, &place->lock, err))
		return false;
	place->memory = memory_path(place->fd, options->name);
	if (!clear_place(place, err))
		return false;
	*place_out = STEAL(place);
	return true;
}

void step_place_free(struct step_place *place)
{
	struct error err; /* who comes next finds it, and says why it cannot be removed */
	if (!place)
		return;
	if (place->lock.fd >= 0)
		(void)clear_place(place, &err); /* see err */
	local_lock_release(&place->lock);
	fs_close_at(&place->fd);
	free(place->folder);
	free(place->checkout);
	free(place->memory);
	free(place);
}

bool step_place_make_checkout(struct step_place *place, const char **folder_out, struct error *err)
{
	if (mkdir(place->checkout, 0700) < 0)
		return error_errno(err, errno, "folder '%s'", place->checkout);
	*folder_out = place->checkout;
	return true;
}

const char *step_place_checkout(const struct step_place *place)
{
	return place->checkout;
}

bool step_place_memory(struct step_place *place, const char **folder_out, struct error *err)
{
	if (!place->memory) {
		(void)error_set(err, ERR_SYSTEM,
			"there is no folder in memory for secrets"); /* returns false */
		return error_hint(err, "mount a tmpfs at /dev/shm");
	}
	if (!place->memory_made && mkdir(place->memory, 0700) < 0)
		return error_errno(err, errno, "folder '%s'", place->memory);
	place->memory_made = true;
	*folder_out = place->memory;
	return true;
}

bool step_place_run(struct step_place *place, const struct local_command *command,
	struct driver_run *run, struct error *err)
{
	struct local_command here = *command;
	if (!here.folder)
		here.folder = place->checkout;
	return local_command_run(&here, &place->lock, run, err);
}
