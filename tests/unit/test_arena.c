/* arena: zeroed, aligned, bounded; secret ones are wiped */
#include "base/arena.h"
#include <setjmp.h>
#include <signal.h>
#include <sodium.h>
#include <stdint.h>

#include <cmocka.h>

static size_t wiped_bytes;

/* Takes libsodium's place in this program: the test sees what is wiped while it still may. */
void sodium_memzero(void *const bytes, const size_t len)
{
	memset(bytes, 0, len);
	__asm__ volatile("" : : "r"(bytes) : "memory");
	wiped_bytes += len;
}

static void memory_is_zeroed_aligned_and_apart(void **state)
{
	(void)state;
	for (int kind = ARENA_PLAIN; kind <= ARENA_SECRET; kind++) {
		auto_arena struct arena *arena = arena_new((enum arena_kind)kind, 0);
		char *all[200];
		for (size_t i = 0; i < ARRAY_LEN(all); i++) {
			size_t size = i * i + 1;
			all[i] = arena_alloc(arena, size);
			assert_int_equal((uintptr_t)all[i] % (size % 16 ? 8 : 16), 0);
			for (size_t j = 0; j < size; j++)
				assert_int_equal(all[i][j], 0);
			memset(all[i], (int)i, size);
		}
		for (size_t i = 0; i < ARRAY_LEN(all); i++)
			for (size_t j = 0; j < i * i + 1; j++)
				assert_int_equal((unsigned char)all[i][j], i);
	}
}

static void nothing_may_be_asked_for(void **state)
{
	(void)state;
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	assert_non_null(arena_alloc(arena, 0));
	assert_non_null(arena_array(arena, 0, 8));
	assert_null(arena_str(arena, NULL));
	assert_string_equal(arena_dup(arena, NULL, 0), "");
	arena_free(NULL);
}

static void strings_are_copied(void **state)
{
	(void)state;
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	char text[] = "abc";
	char *copy = arena_str(arena, text);
	char *part = arena_dup(arena, text, 2);
	text[0] = 'z';
	assert_string_equal(copy, "abc");
	assert_string_equal(part, "ab");
	assert_string_equal(arena_printf(arena, "%s-%d", "x", 5), "x-5");
	assert_true(arena_used(arena) >= 4 + 3 + 4);
}

static sigjmp_buf aborted;

static void on_abort(int number)
{
	siglongjmp(aborted, number);
}

/* Does allocating so much abort? */
static bool aborts(struct arena *arena, size_t count, size_t size)
{
	struct sigaction old, catch = {.sa_handler = on_abort};
	sigaction(SIGABRT, &catch, &old);
	bool died = sigsetjmp(aborted, 1) != 0;
	if (!died)
		(void)arena_array(arena, count, size); /* only whether it returns matters */
	sigaction(SIGABRT, &old, NULL);
	return died;
}

static void the_limit_holds_to_the_last_byte(void **state)
{
	(void)state;
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 100);
	assert_false(aborts(arena, 1, 50));
	assert_true(aborts(arena, 1, 60));
	assert_false(aborts(arena, 1, 40));
	for (int i = 0; i < 3; i++)
		assert_true(aborts(arena, 1, 17));
	assert_true(aborts(arena, 1, SIZE_MAX));
	assert_true(aborts(arena, SIZE_MAX / 2, 4));
	assert_true(arena_used(arena) <= 112);
}

static void small_pieces_do_not_slip_past_the_limit(void **state)
{
	(void)state;
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 24);
	assert_false(aborts(arena, 1, 17));
	for (int i = 0; i < 10; i++)
		assert_true(aborts(arena, 1, 1));
}

static void secret_memory_is_wiped_at_the_end(void **state)
{
	(void)state;
	struct arena *arena = arena_new(ARENA_SECRET, 0);
	arena_str(arena, "hunter2");
	(void)arena_alloc(arena, 200000); /* a block of its own */
	wiped_bytes = 0;
	arena_free(arena);
	assert_true(wiped_bytes >= 200000 + 4096);
	arena = arena_new(ARENA_PLAIN, 0);
	arena_str(arena, "plain");
	wiped_bytes = 0;
	arena_free(arena);
	assert_int_equal(wiped_bytes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_zeroed_aligned_and_apart),
		cmocka_unit_test(nothing_may_be_asked_for),
		cmocka_unit_test(strings_are_copied),
		cmocka_unit_test(the_limit_holds_to_the_last_byte),
		cmocka_unit_test(small_pieces_do_not_slip_past_the_limit),
		cmocka_unit_test(secret_memory_is_wiped_at_the_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
