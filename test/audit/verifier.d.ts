/** The hash that each chain of an export ends with; throws where an export has been tampered with. */
export declare function verifyLines(lines: readonly string[]): Promise<Record<string, string>>;
