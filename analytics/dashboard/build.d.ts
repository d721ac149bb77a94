/** @returns whether there was anything to do */
export declare function buildDashboard(): Promise<boolean>;
