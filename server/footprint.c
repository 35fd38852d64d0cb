#include "server/footprint.h"
#include "base/mem.h"
#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

static int let_go(struct dl_phdr_info *info, size_t size, void *data)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	(void)size; /* the fields used here are in every version */
	(void)data;
	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		/* A segment that could be written may hold what no file has. */
		if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W))
			continue;
		uintptr_t start = (info->dlpi_addr + segment->p_vaddr + page - 1) / page * page;
		uintptr_t end =
			(info->dlpi_addr + segment->p_vaddr + segment->p_filesz) / page * page;
		/* Refused for the vdso, which no file backs: nothing is lost then either. */
		if (start < end)
			(void)madvise((void *)start, end - start, MADV_DONTNEED);
	}
	return 0;
}

void footprint_trim(void)
{
	(void)malloc_trim(0); /* tells only whether there was something to give back */
	(void)dl_iterate_phdr(let_go, NULL); /* 0, as let_go() says */
}
