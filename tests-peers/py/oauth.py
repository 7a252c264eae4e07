"""The token service as a client of other authors sees it: Authlib for the client, joserfc for proofs and for checking.

It takes its settings as JSON in the first argument: { issuer, door, url, lead: jwk, helper: jwk }, as `oauth.mjs` does. The
one line out is { "done": [what was done] }, or it ends with a traceback.
"""

import base64
import hashlib
import json
import secrets
import sys
import time

import httpx
from authlib.integrations.httpx_client import OAuth2Client
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc import jwk, jwt

ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


def proof(key, method, url, nonce=None, token=None):
    public = {name: value for name, value in key.items() if name in ("kty", "crv", "x", "y")}
    claims = {"htm": method, "htu": url, "iat": int(time.time()), "jti": secrets.token_urlsafe(16)}
    if nonce:
        claims["nonce"] = nonce
    if token:
        digest = hashlib.sha256(token.encode()).digest()
        claims["ath"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    header = {"typ": "dpop+jwt", "alg": key["alg"], "jwk": public}
    return jwt.encode(header, claims, jwk.import_key(key), algorithms=[key["alg"]])


def client(metadata, agent, key):
    made = OAuth2Client(agent, jwk.import_key(key), token_endpoint_auth_method="private_key_jwt",
                        revocation_endpoint_auth_method="private_key_jwt")
    made.register_client_auth_method(
        PrivateKeyJWT(metadata["token_endpoint"], alg=key["alg"], headers={"kid": key["kid"]}))
    return made


def main(settings):
    done = []

    def check(what, holds):
        assert holds, what
        done.append(what)

    metadata = httpx.get(settings["issuer"] + "/.well-known/oauth-authorization-server").json()
    check("discovery", metadata["issuer"] == settings["issuer"] and EXCHANGE in metadata["grant_types_supported"])
    url = metadata["token_endpoint"]
    lead, helper = (client(metadata, name, settings[name]) for name in ("lead", "helper"))
    nonce = httpx.post(url).headers["DPoP-Nonce"]
    granted = lead.fetch_token(url, grant_type="client_credentials", resource=settings["door"],
                               headers={"DPoP": proof(settings["lead"], "POST", url, nonce)})
    check("private_key_jwt, DPoP with a nonce", granted["token_type"] == "DPoP")
    acting = helper.fetch_token(url, grant_type=EXCHANGE, subject_token=granted["access_token"],
                                subject_token_type=ACCESS_TOKEN, resource=settings["door"],
                                headers={"DPoP": proof(settings["helper"], "POST", url, nonce)})
    token = acting["access_token"]
    check("exchange with actor", acting["issued_token_type"] == ACCESS_TOKEN)
    keys = jwk.KeySet.import_key_set(httpx.get(metadata["jwks_uri"]).json())
    claims = jwt.decode(token, keys, algorithms=["EdDSA", "ES256"]).claims
    check("JWKS", claims["act"]["sub"] == "helper" and claims["chain"][0]["agent"] == "lead")
    shown = {"Authorization": f"DPoP {token}", "DPoP": proof(settings["helper"], "GET", settings["url"], token=token)}
    check("a call", httpx.get(settings["url"], headers=shown).status_code == 200)

    def told():
        return helper.introspect_token(metadata["introspection_endpoint"], token=token).json()

    check("introspection", told()["active"] is True)
    helper.revoke_token(metadata["revocation_endpoint"], token=token)
    check("revocation", told() == {"active": False})
    print(json.dumps({"done": done}))


main(json.loads(sys.argv[1]))
