#include "reconcile/drivers/compose.h"
#include "base/mem.h"

extern const char embedded_compose_sh[];

#define MS_PER_S 1000

const char *const *compose_argv(struct arena *arena, const char *root, int64_t timeout_ms)
{
	const char *const words[] = {"sh", "-c", embedded_compose_sh, "compose", /* its $0 */
		arena_printf(arena, "%s/current", root),
		arena_printf(arena, "%lld", (long long)(timeout_ms / MS_PER_S))};
	const char **argv = arena_array(arena, ARRAY_LEN(words) + 1, sizeof(*argv));
	memcpy(argv, words, sizeof(words));
	return argv;
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);
	return len >= end_len && !strcmp(text + len - end_len, end);
}

bool compose_is_file(const char *path)
{
	const char *name = !strncmp(path, "docker-", 7) ? path + 7 : path;
	if (!strcmp(path, ".env"))
		return true; /* COMPOSE_FILE in it can name any file */
	return !strncmp(name, "compose.", 8) && !strchr(name, '/') &&
	       (ends_with(name, ".yaml") || ends_with(name, ".yml"));
}
