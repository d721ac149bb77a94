// node scripts/spec.mjs [--check]: puts the ASN.1 module into docs/spec/mecai.md; its source is proto/asn1/mecai.asn1.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const spec = join(root, 'docs/spec/mecai.md');
const module = readFileSync(join(root, 'proto/asn1/mecai.asn1'), 'utf8');
const text = readFileSync(spec, 'utf8');
const [begin, end] = ['<!-- module: begin -->\n', '<!-- module: end -->'];
const [before, after] = [text.indexOf(begin) + begin.length, text.indexOf(end)];
const whole = `${text.slice(0, before)}\`\`\`asn1\n${module.trimEnd()}\n\`\`\`\n${text.slice(after)}`;

if (!process.argv.includes('--check')) writeFileSync(spec, whole);
else if (whole !== text) {
  console.error(
    'docs/spec/mecai.md has another ASN.1 module than proto/asn1/mecai.asn1: node scripts/spec.mjs',
  );
  process.exitCode = 1;
}
