"""SECRET, by form: keys and tokens that begin as their issuers' do.

The prefixes and lengths are those of the issuers' documentation, most of them as gitleaks' rules have them
(https://github.com/gitleaks/gitleaks, MIT). Lengths are taken a little wider, for issuers change them.
"""

from __future__ import annotations

from typing import Final

from securemem.privacy.engines.patterns.pattern import CHECKED, Check, Pattern
from securemem.privacy.engines.patterns.views import Trigger, beginning, low, word

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


def _token(name: str, seen: Trigger, regex: str, *, check: Check | None = token_end) -> Pattern:
    """Give the row of one issuer.

    Args:
        name: of the issuer.
        seen: what its tokens begin with, or what stands in them.
        regex: of a token, that begins with a letter or digit.
        check: where others than `token_end` are wanted.
    """
    first, rest = _split(regex)
    return Pattern(
        name=f"token of {name}",
        entity="SECRET",
        trigger=_LONG,
        also=(seen,),
        regex=f"(?a){first}(?<![A-Za-z0-9]{first}){rest}",
        check=check,
        score=CHECKED,
    )


def _split(regex: str) -> tuple[str, str]:
    """Give an expression's first character or set of characters, and the rest."""
    length = regex.index("]") + 1 if regex.startswith("[") else 1
    return regex[:length], regex[length:]


ROWS: Final = (
    _token(
        "AWS",
        beginning("akia", "asia", "abia", "acca", "a3t"),
        rf"A(?:KIA|SIA|BIA|CCA|3T[A-Z0-9])[A-Z0-9]{{16}}{_END}",
        check=None,
    ),
    _token(
        "Amazon Bedrock",
        beginning("absk", "bedrock-api-key-"),
        r"[Ab](?:BSK[\w+/]{60,300}={0,2}|edrock-api-key-[\w+/=]{20,2000})",
    ),
    _token("GitHub", beginning("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"gh[pousr]_[A-Za-z0-9]{30,255}"),
    _token("GitHub, fine-grained", beginning("github_pat_"), r"github_pat_\w{60,255}"),
    _token(
        "GitLab",
        beginning(
            "glpat-",
            "gldt-",
            "glft-",
            "glffct-",
            "glcbt-",
            "glrt-",
            "glptt-",
            "glimt-",
            "glagent-",
            "gloas-",
            "glsoat-",
            "gr1348941",
        ),
        r"[gG](?:l(?:pat|dt|ft|ffct|cbt|rt|ptt|imt|agent|oas|soat)-[\w.-]{20,320}|R1348941[\w-]{20,64})",
    ),
    _token("Slack", beginning("xox"), r"xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,260}"),
    _token("Slack, app", beginning("xapp-"), r"xapp-[0-9]-[A-Za-z0-9-]{20,250}"),
    _token("OpenAI and others", beginning("sk-"), r"sk-[A-Za-z0-9_-]{20,260}"),
    _token("Stripe", beginning("sk_", "rk_", "pk_live"), r"[srp]k_(?:test|live|prod)_[A-Za-z0-9]{10,255}"),
    _token("Stripe, webhooks", beginning("whsec_"), r"whsec_[A-Za-z0-9+/]{24,100}={0,2}"),
    _token("Google", beginning("aiza"), r"AIza[\w-]{35}"),
    _token(
        "Google OAuth",
        low("ya29.", "gocspx-", "1//0"),
        r"[yG1](?:a29\.[\w-]{20,2000}|OCSPX-[\w-]{28}|//0[\w-]{40,200})",
    ),
    _token("SendGrid", low("sg."), r"SG\.[\w-]{16,32}\.[\w-]{30,64}"),
    _token("Twilio", beginning("sk", "ac"), rf"[SA][KC][0-9a-fA-F]{{32}}{_END}"),
    _token("Mailgun", beginning("key-"), rf"key-[0-9a-f]{{32}}{_END}"),
    _token("Mailchimp", low("-us"), r"[0-9a-f][0-9a-f]{31}-us[0-9]{1,2}"),
    _token("npm", beginning("npm_"), r"npm_[A-Za-z0-9]{36}"),
    _token("PyPI", beginning("pypi-"), r"pypi-[\w-]{50,1000}"),
    _token("RubyGems", beginning("rubygems_"), r"rubygems_[0-9a-f]{48}"),
    _token("NuGet", beginning("oy2"), rf"oy2[a-z0-9]{{43}}{_END}"),
    _token("Hugging Face", beginning("hf_", "api_org_"), r"[ha](?:f_|pi_org_)[A-Za-z0-9]{30,40}"),
    _token("Databricks", beginning("dapi"), rf"dapi[0-9a-f]{{32}}(?:-[0-9])?{_END}"),
    _token("DigitalOcean", beginning("doo_v1_", "dop_v1_", "dor_v1_"), r"do[opr]_v1_[0-9a-f]{64}"),
    _token("Shopify", beginning("shpat_", "shpca_", "shppa_", "shpss_"), r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    _token("Square", beginning("sq0", "eaaa"), r"[sE](?:q0(?:atp|csp|idp)-[\w-]{22,60}|AAA[\w-]{40,80})"),
    _token("Facebook", beginning("eaam", "eaac", "eaab"), r"EAA[MCB][A-Za-z0-9]{60,400}"),
    _token("Telegram", low(":aa"), r"[0-9][0-9]{4,11}:AA[\w-]{32,34}"),
    _token("Discord", low("."), r"[MNO][A-Za-z0-9_-]{22,27}\.[\w-]{6}\.[\w-]{25,40}"),
    _token("Azure AD", low("q~"), r"[A-Za-z0-9_~.][A-Za-z0-9_~.]{2}[0-9]Q~[\w~.-]{31,34}"),
    _token(
        "Grafana",
        beginning("glsa_", "glc_", "eyjrijoi"),
        r"[ge](?:lsa_[A-Za-z0-9]{32}_[0-9a-fA-F]{8}|lc_[\w+/]{32,400}|yJrIjoi\w{60,400})",
    ),
    _token("New Relic", beginning("nrak-", "nrjs-", "nraa-", "nrii-"), r"NR(?:AK|JS|AA|II)-[A-Za-z0-9_-]{19,32}"),
    _token("Sentry", beginning("sntrys_", "sntryu_"), r"sntry[su]_[\w+/=]{40,600}"),
    _token("Linear", beginning("lin_api_"), r"lin_api_[A-Za-z0-9]{40}"),
    _token("Notion", beginning("ntn_", "secret_"), r"[ns](?:tn_[A-Za-z0-9]{40,50}|ecret_[A-Za-z0-9]{43})"),
    _token("Airtable", beginning("pat"), r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}"),
    _token("Atlassian", beginning("atatt3", "atctt3"), r"AT[AC]TT3[\w=-]{50,300}"),
    _token("Doppler", low("dp."), r"dp\.(?:pt|st|ct|sa|scim|audit)\.[\w.-]{30,80}"),
    _token("Vault", low("hvs.", "hvb.", "hvr."), r"hv[sbr]\.[\w-]{20,400}"),
    _token("Terraform", low("atlasv1"), r"[A-Za-z0-9][A-Za-z0-9]{13}\.atlasv1\.[\w=-]{60,70}"),
    _token("PlanetScale", beginning("pscale_"), r"pscale_(?:tkn|oauth|pw|otkn)_[\w=.-]{32,64}"),
    _token("Postman", beginning("pmak-"), r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}"),
    _token("Pulumi", beginning("pul-"), rf"pul-[0-9a-f]{{40}}{_END}"),
    _token("Heroku", beginning("hrku-"), r"HRKU-[\w-]{36,60}"),
    _token(
        "Fly.io",
        beginning("fo1_", "fm1", "fm2_"),
        r"f(?:o1_[\w-]{43}|m1[ar]_[\w+/]{60,800}={0,3}|m2_[\w+/]{60,800}={0,3})",
    ),
    _token("Dropbox", low("sl."), r"sl\.[\w-]{60,1500}"),
    _token("age", beginning("age-secret-key-1"), r"AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}"),
    _token(
        "1Password",
        beginning("ops_", "a3-"),
        r"[oA](?:ps_eyJ[\w+/]{100,1500}={0,3}|3-[A-Z0-9]{6}(?:-[A-Z0-9]{5,11}){3,5})",
    ),
    _token("Alibaba", beginning("ltai"), rf"LTAI[A-Za-z0-9]{{12,24}}{_END}"),
    _token("Tencent", beginning("akid"), rf"AKID[A-Za-z0-9]{{32}}{_END}"),
    _token("Figma", beginning("figd_"), r"figd_[\w-]{38,60}"),
    _token("Groq and xAI", beginning("gsk_", "xai-"), r"[gx](?:sk_|ai-)[A-Za-z0-9]{40,120}"),
    _token("Replicate", beginning("r8_"), r"r8_[A-Za-z0-9]{36,40}"),
    _token("Perplexity", beginning("pplx-"), r"pplx-[A-Za-z0-9]{40,64}"),
    _token("LangSmith", beginning("lsv2_"), r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}"),
    _token("Supabase", beginning("sbp_", "sb_secret_"), r"sb(?:p_[0-9a-f]{40}|_secret_[\w-]{20,60})"),
    _token("Pinecone", beginning("pcsk_"), r"pcsk_[\w-]{40,120}"),
    _token("Tailscale", beginning("tskey-"), r"tskey-[a-z]{2,12}-[\w-]{15,80}"),
    _token("OpenShift", low("sha256~"), r"sha256~[\w-]{43}"),
    _token("Octopus Deploy", beginning("api-"), rf"API-[A-Z0-9]{{25,32}}{_END}"),
    _token("Brevo", beginning("xkeysib-", "xsmtpsib-"), r"x(?:key|smtp)sib-[0-9a-f]{64}-[A-Za-z0-9]{16}"),
    _token("Sourcegraph", beginning("sgp_"), r"sgp_(?:[0-9a-fA-F]{16}_|local_)?[0-9a-fA-F]{40}"),
    _token("JFrog", beginning("akcp", "cmvmd"), r"[Ac](?:KCp[A-Za-z0-9]{60,80}|mVmd[A-Za-z0-9]{59})"),
    _token("Dynatrace", low("dt0c01."), r"dt0c01\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{64}"),
    _token("EasyPost", beginning("ezak", "eztk"), r"EZ[AT]K[A-Za-z0-9]{54}"),
    _token("Flutterwave", beginning("flwseck"), r"FLWSECK(?:_TEST)?-[A-Za-z0-9]{12,64}(?:-X)?"),
    _token("Prefect", beginning("pnu_", "pnb_"), r"pn[ub]_[A-Za-z0-9]{36}"),
    _token("ReadMe", beginning("rdme_"), r"rdme_[a-z0-9]{70}"),
    _token("Shippo", beginning("shippo_"), r"shippo_(?:live|test)_[0-9a-fA-F]{40}"),
    _token("Plaid", beginning("access-"), r"access-(?:sandbox|development|production)-[0-9a-f-]{36}"),
    _token("Adobe", beginning("p8e-"), r"p8e-[A-Za-z0-9]{32}"),
    _token("Infracost", beginning("ico-"), rf"ico-[A-Za-z0-9]{{32}}{_END}"),
    _token("Frame.io", beginning("fio-u-"), r"fio-u-[\w=-]{64}"),
    _token("Duffel", beginning("duffel_"), r"duffel_(?:test|live)_[\w=-]{43}"),
    _token("MaxMind", low("_mmk"), r"[A-Za-z0-9][A-Za-z0-9]{5}_[A-Za-z0-9]{29}_mmk"),
    _token("Clojars", beginning("clojars_"), r"[cC](?:lojars|LOJARS)_[A-Za-z0-9]{60}"),
    _token("Harness", low("pat.", "sat."), r"[ps]at\.[\w-]{22}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{20}"),
    _token("Scalingo", beginning("tk-us-"), r"tk-us-[\w-]{48}"),
    _token("SettleMint", beginning("sm_aat", "sm_pat", "sm_sat"), r"sm_[aps]at_[A-Za-z0-9]{16}"),
    _token("Buildkite and CircleCI", beginning("bkua_", "ccipat_"), r"[bC](?:kua_[0-9a-f]{40}|CIPAT_[\w-]{40,100})"),
    _token("Netlify and Vercel", beginning("nfp_", "vcp_"), r"[nv](?:fp|cp)_[A-Za-z0-9]{36,60}"),
    _token("Cloudflare", low("v1.0-"), r"v1\.0-[0-9a-f]{24}-[0-9a-f]{146}"),
    _token("Mapbox", low("sk.eyj"), r"sk\.eyJ[\w-]{20,400}\.[\w-]{20,60}"),
    _token(
        "Slack, webhook",
        low("hooks.slack.com"),
        r"hooks\.slack\.com/(?:services|workflows|triggers)/[\w+/]{20,80}",
    ),
    _token(
        "Discord, webhook",
        low("/api/webhooks/"),
        r"discord(?:app)?\.com/api/webhooks/[0-9]{15,22}/[\w-]{40,100}",
    ),
    _token(
        "Teams, webhook",
        low(".webhook.office.com"),
        r"webhook\.office\.com/webhookb2/[\w@/-]{60,260}",
    ),
    Pattern(
        name="token of JSON (JWT, RFC 7519)",
        entity="SECRET",
        trigger=_LONG,
        also=(beginning("ey"),),
        regex=r"(?a)eyJ(?<![\w-]eyJ)[\w-]{8,2000}\.(?:eyJ)?[\w-]{8,8000}\.[\w-]{0,2000}(?:\.[\w-]{0,8000}\.[\w-]{0,500})?",
        check=token_end,
    ),
    Pattern(
        name="private key (PEM, RFC 7468)",
        entity="SECRET",
        trigger=low("--"),
        also=(low("-----begin"),),
        regex=(
            r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:[^-]|-(?!----)){0,20000}"
            r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?"
        ),
    ),
    Pattern(
        name="private key of PuTTY",
        entity="SECRET",
        trigger=_LONG,
        also=(beginning("pu"),),
        regex=r"PuTTY-User-Key-File-[0-9]:[\s\S]{1,8000}?Private-(?:MAC|Hash): [0-9a-f]{40,64}",
    ),
)
