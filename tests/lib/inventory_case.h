/* tests/lib/inventory_case.h - what the tests of inventories share: a folder of files, and what
 * came out of loading it */
#pragma once
#include "reconcile/inventory.h"
#include "tests/lib/gitrepo.h"

#include <setjmp.h>
#include <stdarg.h>
/* after the headers above, as it says itself */
#include <cmocka.h>

#define CLIENTS INVENTORY_DEFAULT_PATH

static char *scratch;
static struct arena *arena;
static struct problems problems;
static struct strlist sources;

static inline int set_up(void **state)
{
	(void)state;
	scratch = gitrepo_scratch();
	arena = arena_new(ARENA_PLAIN, 0);
	return 0;
}

static inline int tear_down(void **state)
{
	(void)state;
	problems_clear(&problems);
	strlist_clear(&sources);
	arena_free(arena);
	gitrepo_remove(scratch);
	return 0;
}

static inline void given(const char *path, const char *text)
{
	gitrepo_write(scratch, path, text);
}

static inline bool load_from(struct tree *tree, const char *path, struct inventory **inventory_out)
{
	problems_clear(&problems);
	strlist_clear(&sources);
	bool ok = inventory_load(tree, path, arena, inventory_out, &sources, &problems);
	assert_int_equal(ok, problems.errors == 0);
	problems_sort(&problems);
	return ok;
}

static inline bool load(struct inventory **inventory_out)
{
	auto_tree struct tree *tree = NULL;
	struct error err = {0};

	if (!tree_open_folder(scratch, &tree, &err))
		fail_msg("%s", err.message);
	return load_from(tree, CLIENTS, inventory_out);
}

/* Loads what must load. */
static inline const struct inventory *loaded(void)
{
	struct inventory *inventory = NULL;

	if (!load(&inventory))
		fail_msg("%s:%u: %s", problems.items[0].file, problems.items[0].line,
			problems.items[0].what);
	return inventory;
}

static inline const struct host *host_of(const struct inventory *inventory, const char *name)
{
	const struct host *host = inventory_host(inventory, name);

	if (!host)
		fail_msg("no host '%s'", name);
	return host;
}

static inline const char *var(const struct inventory *inventory, const char *host, const char *key)
{
	const struct node *value = node_get(host_of(inventory, host)->vars, key);
	return value ? value->text : NULL;
}

static inline const struct problem *first_error(void)
{
	for (size_t i = 0; i < problems.count; i++) {
		if (!problems.items[i].warning)
			return &problems.items[i];
	}
	fail_msg("no error was reported");
	return NULL;
}

static inline void assert_refused(const char *file, unsigned line, const char *what)
{
	struct inventory *inventory = NULL;

	assert_false(load(&inventory));
	assert_null(inventory);
	const struct problem *error = first_error();
	assert_string_equal(error->file, file);
	assert_int_equal(error->line, line);
	if (!strstr(error->what, what))
		fail_msg("'%s' is not in '%s'", what, error->what);
	if (!*error->fix)
		fail_msg("'%s' does not say what to do", error->what);
}

/** Each test starts with an empty folder and arena. */
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/** Runs a group of tests with libgit2 started. @return exit status */
#define RUN_CASES(tests)                                                                           \
	({                                                                                         \
		struct error err_ = {0};                                                           \
		int failed_ =                                                                      \
			!repo_library_init(&err_) || cmocka_run_group_tests(tests, NULL, NULL);    \
		repo_library_shutdown();                                                           \
		failed_;                                                                           \
	})
