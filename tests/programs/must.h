/* What the test programs share: a call that must succeed. */
#include <err.h>

#define must(e)                                                                                                        \
	({                                                                                                             \
		__typeof__(e) r_ = (e);                                                                                \
		if (r_ < 0)                                                                                            \
			err(1, "%s", #e);                                                                              \
		r_;                                                                                                    \
	})
