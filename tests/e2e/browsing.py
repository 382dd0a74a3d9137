"""Prefect's pages in a real browser, used as a person uses them."""

import contextlib
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CLICKS = 6
MILLISECONDS = 120_000
"""For a page to have what is looked for; long, because servers are slow on a machine that others use."""


@contextlib.contextmanager
def browsing() -> "Iterator[Page]":
    """The system's Chromium, without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # without a sandbox: the superuser of a container has none, and the pages are our own
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=MILLISECONDS)
        page = browser.new_page()
        page.set_default_timeout(MILLISECONDS)
        try:
            yield page
        except BaseException:
            print(f"the page was {page.url}: {page.locator('body').inner_text()[:4000]}")
            raise
        finally:
            browser.close()


def submit_form(page: "Page", deployments: str, deployment: str, changes: dict[str, str]) -> str:
    """Fill in the form of a deployment, as a person does, and submit it.

    Args:
        page: Any.
        deployments: Address of the page with all deployments.
        deployment: FLOW/DEPLOYMENT.
        changes: Label of an input → what is typed there.

    Returns:
        The id of the flow run, whose page is open then.
    """
    from playwright.sync_api import expect

    flow, _, name = deployment.partition("/")
    page.goto(deployments)
    page.get_by_placeholder("Search deployments").fill(name)  # else it may be on the second page of the list
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name=flow, exact=True))
    _opened(page, row.get_by_role("link", name=name, exact=True)).click()
    page.get_by_text("Custom run").click()
    for label, typed in changes.items():
        input_of(page, label).wait_for()
        page.wait_for_load_state("networkidle")  # what arrives late would lay the preset over what was typed
        input_of(page, label).fill(typed)
        expect(input_of(page, label)).to_have_value(typed)
    page.wait_for_load_state("networkidle")
    run = _submitted(page)
    page.goto(f"{deployments.rpartition('/')[0]}/runs/flow-run/{run}")
    return run


def _opened(page: "Page", link: "Locator") -> "Locator":
    """Click on a deployment until its page is there, and return the page's button: a list that is about to draw itself
    anew swallows a click."""
    from playwright.sync_api import TimeoutError as NoAnswerError

    button = page.get_by_role("button", name="Run", exact=True)
    for _ in range(CLICKS):
        with contextlib.suppress(NoAnswerError):
            if "/deployments/deployment/" not in page.url:
                link.click(timeout=MILLISECONDS / CLICKS)
            button.wait_for(timeout=MILLISECONDS / CLICKS)
            return button
    raise AssertionError(f"{CLICKS} clicks on {link} opened no deployment")


def _submitted(page: "Page") -> str:
    """Click until it was heard: a page that is about to draw itself anew swallows a click."""
    from playwright.sync_api import TimeoutError as NoAnswerError

    for _ in range(CLICKS):
        try:
            with page.expect_response(
                lambda answer: answer.url.endswith("/create_flow_run") and answer.ok, timeout=MILLISECONDS / CLICKS
            ) as answer:
                page.get_by_role("button", name="Submit").click()
            return str(answer.value.json()["id"])
        except NoAnswerError:
            continue
    raise AssertionError(f"{CLICKS} clicks on Submit made no run")


def input_of(page: "Page", label: str) -> "Locator":
    """The input of a field, found as people find it: by the words over it."""
    words = page.get_by_text(f"{label} (Optional)", exact=True)
    return page.locator(".schema-form-property", has=words).last.locator("input, textarea")
