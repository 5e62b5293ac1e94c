// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Carries out one load or store of a user's program to memory that is not there, and goes on behind it: registers and
 * a link that is not up. Knows the moves that compilers make of volatile and atomic accesses, and lets cache
 * instructions pass; anything else is a SIGBUS, and the log says which bytes it was.
 */
#include <linux/printk.h>
#include <linux/ptrace.h>
#include <linux/sched/task_stack.h>
#include <linux/uaccess.h>

#include "standin.h"

enum action { LOAD, STORE, EXCHANGE, CACHE };

struct decoded {
	enum action action;
	unsigned int bytes;  /* of the access */
	unsigned int length; /* of the instruction */
	unsigned long *reg;  /* NULL: store `value` */
	u64 value;
	bool swap;	     /* the other byte order */
	bool keep;	     /* a load leaves the register's other bytes alone */
};

#if defined(CONFIG_X86_64)

#define MAX_INSTRUCTION 15

static unsigned long *reg_of(struct pt_regs *regs, unsigned int n)
{
	unsigned long *of[] = { &regs->ax, &regs->cx, &regs->dx,  &regs->bx,  &regs->sp,  &regs->bp,  &regs->si,  &regs->di,
				&regs->r8, &regs->r9, &regs->r10, &regs->r11, &regs->r12, &regs->r13, &regs->r14, &regs->r15 };
	return of[n & 15];
}

static bool decode(const u8 *code, struct pt_regs *regs, struct decoded *out)
{
	unsigned int at = 0, op, modrm, immediate = 0;
	bool small = false;
	u8 rex = 0;

	for (;; at++) {
		if (code[at] == 0x66)
			small = true;
		else if (code[at] != 0x3e && code[at] != 0xf2 && code[at] != 0xf3)
			break;
	}
	if ((code[at] & 0xf0) == 0x40)
		rex = code[at++];
	op = code[at++];
	if (op == 0x0f) {
		op = 0x0f00 | code[at++];
		if (op == 0x0f38)
			op = 0x0f3800 | code[at++];
	}
	modrm = code[at++];
	if (modrm >> 6 == 3)
		return false;
	if ((modrm & 7) == 4) { /* SIB */
		if ((code[at++] & 7) == 5 && modrm >> 6 == 0)
			at += 4;
	} else if (modrm >> 6 == 0 && (modrm & 7) == 5) {
		at += 4;
	}
	at += modrm >> 6 == 1 ? 1 : modrm >> 6 == 2 ? 4 : 0;

	out->bytes = rex & 8 ? 8 : small ? 2 : 4;
	out->keep = small && !(rex & 8);
	out->reg = reg_of(regs, (modrm >> 3 & 7) | (rex & 4 ? 8 : 0));
	switch (op) {
	case 0x8b:
		out->action = LOAD;
		break;
	case 0x89:
		out->action = STORE;
		break;
	case 0x87:
		out->action = EXCHANGE;
		break;
	case 0xc7:
		immediate = out->bytes == 2 ? 2 : 4;
		out->action = STORE;
		out->reg = NULL;
		out->value = immediate == 2 ? *(const u16 *)(code + at) : (u64)(s64)*(const s32 *)(code + at);
		break;
	case 0xc6:
		immediate = out->bytes = 1;
		out->action = STORE;
		out->reg = NULL;
		out->value = code[at];
		break;
	case 0x0fb6: /* movzx of a byte */
	case 0x0fb7: /* of two */
		out->action = LOAD;
		out->bytes = op & 1 ? 2 : 1;
		break;
	case 0x0f38f0: /* movbe */
		out->action = LOAD;
		out->swap = true;
		break;
	case 0x0f38f1:
		out->action = STORE;
		out->swap = true;
		break;
	case 0x0fae: /* clflush, clflushopt, clwb */
		if ((modrm >> 3 & 7) < 6)
			return false;
		out->action = CACHE;
		break;
	default:
		return false;
	}
	out->length = at + immediate;
	return true;
}

static unsigned long where(struct pt_regs *regs)
{
	return regs->ip;
}

static void go_on(struct pt_regs *regs, unsigned int length)
{
	regs->ip += length;
}

#elif defined(CONFIG_PPC64)

#define MAX_INSTRUCTION 4

static bool decode(const u8 *code, struct pt_regs *regs, struct decoded *out)
{
	u32 word = *(const u32 *)code;
	/* Primary opcode, and the extended one where it has one. */
	u32 op = word >> 26, more = op == 31 ? word >> 1 & 0x3ff : op == 58 || op == 62 ? word & 3 : 0;
	static const struct {
		u32 op, more;
		enum action action;
		unsigned int bytes;
		bool swap;
	} known[] = {
		{ 32, 0, LOAD, 4, false },   { 36, 0, STORE, 4, false },   { 58, 0, LOAD, 8, false },
		{ 62, 0, STORE, 8, false },  { 34, 0, LOAD, 1, false },	   { 38, 0, STORE, 1, false },
		{ 31, 23, LOAD, 4, false },  { 31, 151, STORE, 4, false }, { 31, 21, LOAD, 8, false },
		{ 31, 149, STORE, 8, false }, { 31, 534, LOAD, 4, true },  { 31, 662, STORE, 4, true },
		{ 31, 532, LOAD, 8, true },  { 31, 660, STORE, 8, true },  { 31, 86, CACHE, 0, false },
		{ 31, 54, CACHE, 0, false },
	};
	unsigned int n;

	for (n = 0; n < ARRAY_SIZE(known); n++) {
		if (known[n].op != op || known[n].more != more)
			continue;
		out->action = known[n].action;
		out->bytes = known[n].bytes;
		out->swap = known[n].swap;
		out->reg = &regs->gpr[word >> 21 & 31];
		out->length = 4;
		return true;
	}
	return false;
}

static unsigned long where(struct pt_regs *regs)
{
	return regs->nip;
}

static void go_on(struct pt_regs *regs, unsigned int length)
{
	regs_set_return_ip(regs, regs->nip + length);
}

#else
#error "the stand-in knows the instructions of x86-64 and POWER"
#endif

static u64 swapped(u64 value, unsigned int bytes)
{
	return bytes == 8 ? swab64(value) : bytes == 4 ? swab32((u32)value) : bytes == 2 ? swab16((u16)value) : value;
}

static void set(struct decoded *insn, u64 value)
{
	if (insn->keep)
		*insn->reg = (*insn->reg & ~0xffffUL) | value;
	else
		*insn->reg = value;
}

vm_fault_t emulate_access(struct vm_fault *vmf, const struct bus *bus, void *arg)
{
	struct pt_regs *regs = task_pt_regs(current);
	u64 off = ((u64)vmf->pgoff << PAGE_SHIFT) + (vmf->real_address & ~PAGE_MASK);
	u64 mask, stored, loaded = 0;
	/* Room behind it for what a decoder reads without looking. */
	u8 code[MAX_INSTRUCTION + 17] = {};
	struct decoded insn = {};

	/* What the kernel does on a program's behalf (write(2) out of a register) is not a program's instruction. */
	if (!(vmf->flags & FAULT_FLAG_USER) || !user_mode(regs))
		return VM_FAULT_SIGBUS;
	if (copy_from_user_nofault(code, (const void __user *)where(regs), MAX_INSTRUCTION) &&
	    copy_from_user_nofault(code, (const void __user *)where(regs), 4))
		return VM_FAULT_SIGBUS;
	if (!decode(code, regs, &insn)) {
		pr_err("standin: cannot carry out the instruction %*ph at offset 0x%llx\n", MAX_INSTRUCTION, code, off);
		return VM_FAULT_SIGBUS;
	}
	if (insn.action != CACHE) {
		mask = insn.bytes == 8 ? ~0ULL : (1ULL << insn.bytes * 8) - 1;
		stored = insn.reg ? *insn.reg : insn.value;
		if (insn.swap)
			stored = swapped(stored, insn.bytes);
		if (insn.action != STORE)
			loaded = bus->load(arg, off, insn.bytes) & mask;
		if (insn.action != LOAD)
			bus->store(arg, off, insn.bytes, stored & mask);
		if (insn.action != STORE)
			set(&insn, insn.swap ? swapped(loaded, insn.bytes) : loaded);
	}
	go_on(regs, insn.length);
	return VM_FAULT_NOPAGE;
}
