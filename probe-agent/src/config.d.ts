import * as z from 'zod';
export declare const agentConfig: z.ZodObject<
  {
    name: z.ZodString;
    admin: z.ZodString;
    nats: z.ZodObject<
      {
        servers: z.ZodArray<z.ZodString>;
        seedFile: z.ZodString;
      },
      z.core.$strict
    >;
    keyFile: z.ZodString;
    location: z.ZodObject<
      {
        city: z.ZodString;
        country: z.ZodString;
        latitude: z.ZodNumber;
        longitude: z.ZodNumber;
        rir: z.ZodEnum<{
          afrinic: 'afrinic';
          apnic: 'apnic';
          arin: 'arin';
          lacnic: 'lacnic';
          ripencc: 'ripencc';
        }>;
        asn: z.ZodNumber;
      },
      z.core.$strict
    >;
    geoip: z.ZodOptional<
      z.ZodObject<
        {
          publicAddress: z.ZodUnion<readonly [z.ZodIPv4, z.ZodIPv6]>;
          city: z.ZodOptional<z.ZodString>;
          asn: z.ZodOptional<z.ZodString>;
          toleranceKm: z.ZodDefault<z.ZodNumber>;
          onContradiction: z.ZodDefault<
            z.ZodEnum<{
              refuse: 'refuse';
              warn: 'warn';
            }>
          >;
        },
        z.core.$strict
      >
    >;
    probe: z.ZodPrefault<
      z.ZodObject<
        {
          bindIpv4: z.ZodOptional<z.ZodIPv4>;
          bindIpv6: z.ZodOptional<z.ZodIPv6>;
          inFlight: z.ZodDefault<z.ZodNumber>;
        },
        z.core.$strict
      >
    >;
    outbox: z.ZodDefault<z.ZodNumber>;
    allowedTargets: z.ZodDefault<z.ZodArray<z.ZodString>>;
  },
  z.core.$strict
>;
export type AgentConfig = z.output<typeof agentConfig>;
