"""SECRET, by form: keys and tokens that begin as their issuers' do.

The prefixes and lengths are those of the issuers' documentation, most of them as gitleaks' rules have them
(https://github.com/gitleaks/gitleaks, MIT). Lengths are taken a little wider, for issuers change them.
"""

from __future__ import annotations

from typing import Final

from securemem.privacy.engines.patterns.pattern import CHECKED, Check, Pattern
from securemem.privacy.engines.patterns.views import NAME_WITH_DOT, Trigger, low, word

_START: Final = r"(?<![A-Za-z0-9])"
_END: Final = r"(?![A-Za-z0-9])"
_LONG: Final = word(16)
_TRAILING: Final = "-_."


def token_end(text: str, start: int, end: int) -> int:
    """Leave out punctuation at the end; a token has a digit, or capitals and small letters."""
    while end > start and text[end - 1] in _TRAILING:
        end -= 1
    value = text[start:end]
    return end if any(char.isdigit() for char in value) or not (value.islower() or value.isupper()) else start


def _token(name: str, needle: str, regex: str, *, trigger: Trigger = _LONG, check: Check | None = token_end) -> Pattern:
    """Give the row of one issuer.

    Args:
        name: of the issuer.
        needle: what stands in all of its tokens, in lower case; several are divided by blanks.
        regex: of a token, that begins with a letter or digit.
        trigger: where a token has no long word in it.
        check: where others than `token_end` are wanted.
    """
    first, rest = _split(regex)
    return Pattern(
        name=f"token of {name}",
        entity="SECRET",
        trigger=trigger,
        needles=tuple(needle.split()),
        regex=f"{first}(?<![A-Za-z0-9]{first}){rest}",
        check=check,
        score=CHECKED,
    )


def _split(regex: str) -> tuple[str, str]:
    """Give an expression's first character or set of characters, and the rest."""
    length = regex.index("]") + 1 if regex.startswith("[") else 1
    return regex[:length], regex[length:]


ROWS: Final = (
    _token("AWS", "akia asia abia acca a3t", rf"A(?:KIA|SIA|BIA|CCA|3T[A-Z0-9])[A-Z0-9]{{16}}{_END}", check=None),
    _token(
        "Amazon Bedrock", "absk bedrock-api-key-", r"[Ab](?:BSK[\w+/]{60,300}={0,2}|edrock-api-key-[\w+/=]{20,2000})"
    ),
    _token("GitHub", "ghp_ gho_ ghu_ ghs_ ghr_", r"gh[pousr]_[A-Za-z0-9]{30,255}"),
    _token("GitHub, fine-grained", "github_pat_", r"github_pat_\w{60,255}"),
    _token(
        "GitLab",
        "glpat- gldt- glft- glffct- glcbt- glrt- glptt- glimt- glagent- gloas- glsoat- gr1348941",
        r"[gG](?:l(?:pat|dt|ft|ffct|cbt|rt|ptt|imt|agent|oas|soat)-[\w.-]{20,320}|R1348941[\w-]{20,64})",
    ),
    _token("Slack", "xox", r"xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,260}"),
    _token("Slack, app", "xapp-", r"xapp-[0-9]-[A-Za-z0-9-]{20,250}"),
    _token("OpenAI and others", "sk-", r"sk-[A-Za-z0-9_-]{20,260}"),
    _token("Stripe", "sk_ rk_ pk_live", r"[srp]k_(?:test|live|prod)_[A-Za-z0-9]{10,255}"),
    _token("Stripe, webhooks", "whsec_", r"whsec_[A-Za-z0-9+/]{24,100}={0,2}"),
    _token("Google", "aiza", r"AIza[\w-]{35}"),
    _token("Google OAuth", "ya29. gocspx- 1//0", r"[yG1](?:a29\.[\w-]{20,2000}|OCSPX-[\w-]{28}|//0[\w-]{40,200})"),
    _token("SendGrid", "sg.", r"SG\.[\w-]{16,32}\.[\w-]{30,64}"),
    _token("Twilio", "sk ac", rf"[SA][KC][0-9a-fA-F]{{32}}{_END}"),
    _token("Mailgun", "key-", rf"key-[0-9a-f]{{32}}{_END}"),
    _token("Mailchimp", "-us", r"[0-9a-f][0-9a-f]{31}-us[0-9]{1,2}"),
    _token("npm", "npm_", r"npm_[A-Za-z0-9]{36}"),
    _token("PyPI", "pypi-", r"pypi-[\w-]{50,1000}"),
    _token("RubyGems", "rubygems_", r"rubygems_[0-9a-f]{48}"),
    _token("NuGet", "oy2", rf"oy2[a-z0-9]{{43}}{_END}"),
    _token("Hugging Face", "hf_ api_org_", r"[ha](?:f_|pi_org_)[A-Za-z0-9]{30,40}"),
    _token("Databricks", "dapi", rf"dapi[0-9a-f]{{32}}(?:-[0-9])?{_END}"),
    _token("DigitalOcean", "doo_v1_ dop_v1_ dor_v1_", r"do[opr]_v1_[0-9a-f]{64}"),
    _token("Shopify", "shpat_ shpca_ shppa_ shpss_", r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    _token("Square", "sq0 eaaa", r"[sE](?:q0(?:atp|csp|idp)-[\w-]{22,60}|AAA[\w-]{40,80})"),
    _token("Facebook", "eaam eaac eaab", r"EAA[MCB][A-Za-z0-9]{60,400}"),
    _token("Telegram", ":aa", r"[0-9]{5,12}:AA[\w-]{32,34}"),
    _token("Discord", ".", r"[MNO][A-Za-z0-9_-]{22,27}\.[\w-]{6}\.[\w-]{25,40}"),
    _token("Azure AD", "q~", r"[A-Za-z0-9_~.][A-Za-z0-9_~.]{2}[0-9]Q~[\w~.-]{31,34}"),
    _token(
        "Grafana",
        "glsa_ glc_ eyjrijoi",
        r"[ge](?:lsa_[A-Za-z0-9]{32}_[0-9a-fA-F]{8}|lc_[\w+/]{32,400}|yJrIjoi\w{60,400})",
    ),
    _token("New Relic", "nrak- nrjs- nraa- nrii-", r"NR(?:AK|JS|AA|II)-[A-Za-z0-9_-]{19,32}"),
    _token("Sentry", "sntrys_ sntryu_", r"sntry[su]_[\w+/=]{40,600}"),
    _token("Linear", "lin_api_", r"lin_api_[A-Za-z0-9]{40}"),
    _token("Notion", "ntn_ secret_", r"[ns](?:tn_[A-Za-z0-9]{40,50}|ecret_[A-Za-z0-9]{43})"),
    _token("Airtable", "pat", r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}"),
    _token("Atlassian", "atatt3 atctt3", r"AT[AC]TT3[\w=-]{50,300}"),
    _token("Doppler", "dp.", r"dp\.(?:pt|st|ct|sa|scim|audit)\.[\w.-]{30,80}"),
    _token("Vault", "hvs. hvb. hvr.", r"hv[sbr]\.[\w-]{20,400}"),
    _token("Terraform", "atlasv1", r"[A-Za-z0-9]{14}\.atlasv1\.[\w=-]{60,70}"),
    _token("PlanetScale", "pscale_", r"pscale_(?:tkn|oauth|pw|otkn)_[\w=.-]{32,64}"),
    _token("Postman", "pmak-", r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}"),
    _token("Pulumi", "pul-", rf"pul-[0-9a-f]{{40}}{_END}"),
    _token("Heroku", "hrku-", r"HRKU-[\w-]{36,60}"),
    _token("Fly.io", "fo1_ fm1 fm2_", r"f(?:o1_[\w-]{43}|m1[ar]_[\w+/]{60,800}={0,3}|m2_[\w+/]{60,800}={0,3})"),
    _token("Dropbox", "sl.", r"sl\.[\w-]{60,1500}"),
    _token("age", "age-secret-key-1", r"AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}"),
    _token("1Password", "ops_ a3-", r"[oA](?:ps_eyJ[\w+/]{100,1500}={0,3}|3-[A-Z0-9]{6}(?:-[A-Z0-9]{5,11}){3,5})"),
    _token("Alibaba", "ltai", rf"LTAI[A-Za-z0-9]{{12,24}}{_END}"),
    _token("Tencent", "akid", rf"AKID[A-Za-z0-9]{{32}}{_END}"),
    _token("Figma", "figd_", r"figd_[\w-]{38,60}"),
    _token("Groq and xAI", "gsk_ xai-", r"[gx](?:sk_|ai-)[A-Za-z0-9]{40,120}"),
    _token("Replicate", "r8_", r"r8_[A-Za-z0-9]{36,40}"),
    _token("Perplexity", "pplx-", r"pplx-[A-Za-z0-9]{40,64}"),
    _token("LangSmith", "lsv2_", r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}"),
    _token("Supabase", "sbp_ sb_secret_", r"sb(?:p_[0-9a-f]{40}|_secret_[\w-]{20,60})"),
    _token("Pinecone", "pcsk_", r"pcsk_[\w-]{40,120}"),
    _token("Tailscale", "tskey-", r"tskey-[a-z]{2,12}-[\w-]{15,80}"),
    _token("OpenShift", "sha256~", r"sha256~[\w-]{43}"),
    _token("Octopus Deploy", "api-", rf"API-[A-Z0-9]{{25,32}}{_END}"),
    _token("Brevo", "xkeysib- xsmtpsib-", r"xs?(?:key|mtp)sib-[0-9a-f]{64}-[A-Za-z0-9]{16}"),
    _token("Sourcegraph", "sgp_", r"sgp_(?:[0-9a-fA-F]{16}_|local_)?[0-9a-fA-F]{40}"),
    _token("JFrog", "akcp cmvmd", r"[Ac](?:KCp[A-Za-z0-9]{60,80}|mVmd[A-Za-z0-9]{59})"),
    _token("Dynatrace", "dt0c01.", r"dt0c01\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{64}"),
    _token("EasyPost", "ezak eztk", r"EZ[AT]K[A-Za-z0-9]{54}"),
    _token("Flutterwave", "flwseck", r"FLWSECK(?:_TEST)?-[A-Za-z0-9]{12,64}(?:-X)?"),
    _token("Prefect", "pnu_ pnb_", r"pn[ub]_[A-Za-z0-9]{36}"),
    _token("ReadMe", "rdme_", r"rdme_[a-z0-9]{70}"),
    _token("Shippo", "shippo_", r"shippo_(?:live|test)_[0-9a-fA-F]{40}"),
    _token("Plaid", "access-", r"access-(?:sandbox|development|production)-[0-9a-f-]{36}"),
    _token("Adobe", "p8e-", r"p8e-[A-Za-z0-9]{32}"),
    _token("Infracost", "ico-", rf"ico-[A-Za-z0-9]{{32}}{_END}"),
    _token("Frame.io", "fio-u-", r"fio-u-[\w=-]{64}"),
    _token("Duffel", "duffel_", r"duffel_(?:test|live)_[\w=-]{43}"),
    _token("MaxMind", "_mmk", r"[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk"),
    _token("Clojars", "clojars_", r"[cC](?:lojars|LOJARS)_[A-Za-z0-9]{60}"),
    _token("Harness", "pat. sat.", r"[ps]at\.[\w-]{22}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{20}"),
    _token("Scalingo", "tk-us-", r"tk-us-[\w-]{48}"),
    _token("SettleMint", "sm_aat sm_pat sm_sat", r"sm_[aps]at_[A-Za-z0-9]{16}"),
    _token("Buildkite and CircleCI", "bkua_ ccipat_", r"[bC](?:kua_[0-9a-f]{40}|CIPAT_[\w-]{40,100})"),
    _token("Netlify and Vercel", "nfp_ vcp_", r"[nv](?:fp|cp)_[A-Za-z0-9]{36,60}"),
    _token("Cloudflare", "v1.0-", r"v1\.0-[0-9a-f]{24}-[0-9a-f]{146}"),
    _token("Mapbox", "sk.eyj", r"sk\.eyJ[\w-]{20,400}\.[\w-]{20,60}"),
    _token(
        "Slack, webhook",
        "hooks.slack.com",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/[\w+/]{20,80}",
        trigger=NAME_WITH_DOT,
    ),
    _token(
        "Discord, webhook",
        "/api/webhooks/",
        r"discord(?:app)?\.com/api/webhooks/[0-9]{15,22}/[\w-]{40,100}",
    ),
    _token(
        "Teams, webhook",
        ".webhook.office.com",
        r"webhook\.office\.com/webhookb2/[\w@/-]{60,260}",
        trigger=NAME_WITH_DOT,
    ),
    Pattern(
        name="token of JSON (JWT, RFC 7519)",
        entity="SECRET",
        trigger=_LONG,
        needles=("eyj",),
        regex=r"eyJ(?<![\w-]eyJ)[\w-]{8,2000}\.(?:eyJ)?[\w-]{8,8000}\.[\w-]{0,2000}(?:\.[\w-]{0,8000}\.[\w-]{0,500})?",
        check=token_end,
    ),
    Pattern(
        name="private key (PEM, RFC 7468)",
        entity="SECRET",
        trigger=low("-----"),
        needles=("-----begin",),
        regex=(
            r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:[^-]|-(?!----)){0,20000}"
            r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?"
        ),
    ),
    Pattern(
        name="private key of PuTTY",
        entity="SECRET",
        trigger=_LONG,
        needles=("putty-user-key-file",),
        regex=r"PuTTY-User-Key-File-[0-9]:[\s\S]{1,8000}?Private-(?:MAC|Hash): [0-9a-f]{40,64}",
    ),
)
