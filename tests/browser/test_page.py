"""The page of `report --html` as a reader sees it."""

import pytest

from tests.browser.conftest import SECTIONS, Open

pytestmark = pytest.mark.browser
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_section_can_be_seen(opened: Open, scheme: str) -> None:
    page = opened(color_scheme=scheme)
    for section in SECTIONS:
        assert page.locator(f"#{section}").is_visible()
        assert page.locator(f"#{section} h2").is_visible()
    assert page.locator("#tables .picture svg").count() == 4
    assert page.locator("#revisions .box.here").count() == 4
    assert page.locator("#tables .box.added").count() >= 1
    assert page.locator("#tables .box.dropped").count() == 1
    assert page.locator("#sessions tbody tr").count() == 1
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, back[4:-1].split(","))) > 384) == (scheme == "light")


@pytest.mark.parametrize(
    "options", [{"color_scheme": "light"}, {"color_scheme": "dark"}, PHONE], ids=["light", "dark", "phone"]
)
def test_axe_finds_nothing(opened: Open, options: dict[str, object]) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = opened(**options)
    page.locator("details").evaluate_all("found => found.forEach(each => { each.open = true })")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_a_phone_scrolls_the_page_down_only(opened: Open) -> None:
    page = opened(**PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("#tables .picture").first.evaluate("each => each.scrollWidth >= each.clientWidth")


def test_the_keyboard_reaches_sorts_and_filters_everything(opened: Open) -> None:
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    reached, focused = [], "document.activeElement.tagName + ' ' + document.activeElement.textContent.trim()"
    for _ in range(200):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(focused))
        if reached[-1] == "BUTTON Pending":
            break
    assert "A Tables" in reached and "INPUT " in reached
    page.keyboard.press("Enter")
    assert page.locator("th[aria-sort=ascending]").inner_text().startswith("Pending")
    names = page.locator("#databases tbody th")
    assert names.first.inner_text() == "user_db"
    page.keyboard.press("Enter")
    assert names.last.inner_text() == "user_db"
    page.locator("#databases input").focus()
    page.keyboard.type("content")
    assert [each.inner_text() for each in names.all() if each.is_visible()] == ["content_db"]


def test_the_page_has_everything_without_javascript(opened: Open) -> None:
    page = opened(java_script_enabled=False)
    assert page.locator("#databases tbody tr").count() == 4
    assert page.locator("input, button").count() == 0
    page.locator("#tables details summary").first.click()
    assert page.locator("#tables details .members").first.is_visible()


def test_the_print_is_black_on_white(opened: Open) -> None:
    page = opened(color_scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible()
    assert page.pdf()[:5] == b"%PDF-"
