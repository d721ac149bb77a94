/** The page that a notice leads to. */
import type { Reply } from '../http-routes.ts';
import { html, pageReply } from '../html.ts';
import { asciiName, unicodeName } from '../notice/names.ts';
import type { CertificateCase } from './cases.ts';
import { objectionRecord } from './objections.ts';

/** Names shown; a certificate may have thousands. */
const maxNames = 50;

const states: Readonly<Record<CertificateCase['state'], (one: CertificateCase) => string>> = {
  held: ({ holdUntil }) => `on hold: no voucher is issued before ${time(holdUntil)}`,
  cleared: () => 'vouchers are issued for it',
  objected: () => 'objected to: no voucher is issued until an operator has decided',
  expired: () => 'expired',
};

const script = `const form=document.querySelector('form'),out=document.querySelector('output');
form.addEventListener('submit',async(event)=>{event.preventDefault();out.textContent='Looking …';
try{const answer=await fetch(location.pathname.replace(/\\/$/,'')+'/objection',{method:'POST',
headers:{'content-type':'application/json'},body:JSON.stringify({domain:form.domain.value.trim()})});
const said=await answer.json();
out.textContent=answer.ok?(said.outcome==='objected'?'Objected: no voucher is issued any more.':'An objection stands already.'):said.title+': '+said.detail;
}catch{out.textContent='The request failed; try again.'}});`;

export function certificatePage(one: CertificateCase): Reply {
  const { sha256, issuer, names, firstRequest, notBefore, notAfter, endpoints } = one;
  const shown = names.slice(0, maxNames);
  const domain = (names[0] ?? '').replace(/^\*\./, '');
  const { name, value } = objectionRecord(domain, Buffer.from(sha256, 'hex'));
  return pageReply({
    title: 'A certificate',
    script,
    body: html`<dl>
<dt>State</dt><dd id="state">${states[one.state](one)}</dd>
<dt>Fingerprint (SHA-256)</dt><dd><code>${sha256}</code></dd>
<dt>Names</dt><dd>${shown.map((host) => html`<code>${asciiName(host)}</code>${ownScript(host)}<br>`)}${
      names.length > maxNames ? `and ${names.length - maxNames} more` : ''
    }</dd>
<dt>Issuer</dt><dd>${issuer}</dd>
<dt>Valid</dt><dd>${time(notBefore)} to ${time(notAfter)}</dd>
<dt>First request</dt><dd>${time(firstRequest)}</dd>
<dt>Seen at</dt><dd>${endpoints.slice(0, 20).map(({ address, port }) => html`<code>${address}</code> port ${port}<br>`)}</dd>
</dl>
<h2>Not yours?</h2>
<p>If one of the names is yours and the certificate is not, object. Publish this TXT record, at the name itself or at a
domain above it, then press the button.</p>
<pre>${asciiName(name)}. TXT "${value}"</pre>
<form><label>Domain <input name="domain" required maxlength="253" value="${asciiName(domain)}"></label>
<button>Object</button></form>
<p><output></output></p>`,
  });
}

/** Set apart, so that text from right to left turns nothing else around. */
function ownScript(name: string): ReturnType<typeof html> | string {
  const shown = unicodeName(name);
  return shown === undefined ? '' : html` (<bdi>${shown}</bdi>)`;
}

const time = (milliseconds: number): string =>
  `${new Date(milliseconds).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
