// The chain of administration, by its name.

/** The chain that belongs to no home, and the object that keeps it. */
export const ADMIN_CHAIN = "admin";
