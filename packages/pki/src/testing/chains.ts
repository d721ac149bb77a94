/**
 * Chains made to be judged, each with the outcome that is right. Keys come from seeds, so a chain is the same
 * in every run but for its signatures and RSA keys.
 */
import type { GeneratedChain } from './chain.ts';
import { formChains } from './chains-form.ts';
import { nameChains } from './chains-name.ts';
import { nameConstraintChains } from './chains-name-constraints.ts';
import { pathChains } from './chains-path.ts';
import { policyChains } from './chains-policy.ts';
import { usageChains } from './chains-usage.ts';

export const generateChains = (): GeneratedChain[] => [
  ...pathChains(),
  ...usageChains(),
  ...nameChains(),
  ...formChains(),
  ...nameConstraintChains(),
  ...policyChains(),
];
