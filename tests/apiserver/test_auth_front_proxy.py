"""Front proxies: their word for who asks counts, others' does not."""

import pytest
from api_certificates import Authority
from api_cluster import Client, Cluster, start, stop

WHOAMI = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
AS_JANE = {
    "X_Remote_User": "jane",
    "X_Remote_Group": "devs",
    "X_Remote_Uid": "u1",
    "X_Remote_Extra_Example.com%2fTeam": "blue",
}


@pytest.mark.parametrize(
    ("name", "headers", "expected"),
    [
        ("front-proxy-client", AS_JANE, "jane"),
        ("front-proxy-client", {}, 403),
        ("somebody", AS_JANE, 401),
    ],
)
async def test_front_proxy(
    tmp_path_factory: pytest.TempPathFactory, name: str, headers: dict[str, str], expected: object
) -> None:
    """Only a certificate of the front proxy's authority with an allowed name may say who asks."""
    authority = Authority(tmp_path_factory.mktemp("front"), "front-proxy-ca")
    cluster, task = await start(tmp_path_factory.mktemp("main"), front_proxy_ca=authority.path)
    proxy = Client(cluster.session, cluster.url, cluster.tls(authority.issue(name)))
    answer = await proxy.post(WHOAMI, {}, **headers)
    await stop(cluster, task)
    if answer.code != 201:
        assert answer.code == expected
        return
    assert answer["status"]["userInfo"] == {
        "username": expected,
        "uid": "u1",
        "groups": ["devs", "system:authenticated"],
        "extra": {"example.com/team": ["blue"]},
    }


async def test_headers_of_others_mean_nothing(cluster: Cluster) -> None:
    """A user's own X-Remote-User changes nothing, with a certificate or without."""
    own = await cluster.client("bob").post(WHOAMI, {}, **AS_JANE)
    nobody = await cluster.client().post(WHOAMI, {}, **AS_JANE)
    assert (own["status"]["userInfo"]["username"], nobody.code) == ("bob", 403)
