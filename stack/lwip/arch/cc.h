/* lwIP's view of the compiler and of our CHECK. */
#ifndef WEIR_STACK_LWIP_ARCH_CC_H
#define WEIR_STACK_LWIP_ARCH_CC_H

#include <stdlib.h>
#include <sys/time.h>

#include "base/check.h"

#define LWIP_PLATFORM_DIAG(x) do { } while (0)

/* Asserts stay on in release: an abort beats a corrupted stream. */
#define LWIP_PLATFORM_ASSERT(message) check_failed(message, __FILE__, __LINE__)

/* Only used for values that are no secret; sequence numbers come from LWIP_HOOK_TCP_ISN. */
#define LWIP_RAND() ((u32_t)random())

#endif
