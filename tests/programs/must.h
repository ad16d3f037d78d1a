/* Shared by the test programs: a call that must succeed. */
#include <err.h>

#define must(e)                                                                                                        \
	({                                                                                                             \
		__typeof__(e) r_ = (e);                                                                                \
		if (r_ < 0)                                                                                            \
			err(1, "%s", #e);                                                                              \
		r_;                                                                                                    \
	})
