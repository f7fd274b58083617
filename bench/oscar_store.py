"""A shop that others wrote: django-oscar 4.2, installed into an environment of its own and run by gunicorn.

Nothing of Oscar is changed. What stands here is what every project with it writes: settings, addresses, and something
to sell; two addresses more say what the shop sees of a request.
"""

import os
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = [
    "django-oscar==4.2.1",
    "Django==5.2.19",
    "sorl-thumbnail==13.4.0",
    "whitenoise==6.12.0",
    "gunicorn==27.0.1",
    "itsdangerous==2.2.0",  # for waitroom.verify, in the last part
]
STAFF, PASSWORD = "staff@shop.example", "a-password-of-a-test"

_SETTINGS = """
import os
from pathlib import Path
from oscar import INSTALLED_APPS as OSCAR
from oscar.defaults import *

BASE = Path(__file__).parent
SECRET_KEY = "of a test"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "addresses"
INSTALLED_APPS = OSCAR + ["sorl.thumbnail", "whitenoise.runserver_nostatic"]
SITE_ID = 1
MIDDLEWARE = [
    *os.environ.get("FIRST_MIDDLEWARE", "").split(),
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "oscar.apps.basket.middleware.BasketMiddleware",
]
TEMPLATES = [{
    "BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True,
    "OPTIONS": {"context_processors": [
        "django.template.context_processors.debug", "django.template.context_processors.request",
        "django.contrib.auth.context_processors.auth", "django.contrib.messages.context_processors.messages",
        "django.template.context_processors.i18n", "django.template.context_processors.media",
        "django.template.context_processors.static", "oscar.apps.search.context_processors.search_form",
        "oscar.apps.checkout.context_processors.checkout",
        "oscar.apps.communication.notifications.context_processors.notifications",
        "oscar.core.context_processors.metadata",
    ]},
}]
AUTHENTICATION_BACKENDS = ["oscar.apps.customer.auth_backends.EmailBackend"]
HAYSTACK_CONNECTIONS = {"default": {"ENGINE": "haystack.backends.simple_backend.SimpleEngine"}}
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE / "shop.sqlite", "ATOMIC_REQUESTS": True}}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
STATIC_URL, STATIC_ROOT, MEDIA_URL, MEDIA_ROOT = "/static/", BASE / "static", "/media/", BASE / "media"
WHITENOISE_USE_FINDERS, WHITENOISE_AUTOREFRESH = True, True
EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
OSCAR_DEFAULT_CURRENCY, OSCAR_ALLOW_ANON_CHECKOUT = "EUR", False
USE_TZ = True
WAITROOM_ROOMS = {"drop": ["/catalogue/", "/basket/", "/checkout/"]}
if os.environ.get("BEHIND_TLS"):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
"""

_ADDRESSES = """
from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.http import HttpResponseRedirect, JsonResponse
from django.urls import include, path, re_path
from django.views.static import serve

def about(request):
    return JsonResponse({
        "absolute": request.build_absolute_uri("/there"), "host": request.get_host(),
        "address": request.META.get("HTTP_X_REAL_IP"), "cookies": sorted(request.COOKIES),
        "pass": "HTTP_WAITROOM_PASS" in request.META,
    })

def elsewhere(request):
    return HttpResponseRedirect(request.build_absolute_uri("/catalogue/"))

urlpatterns = [
    path("catalogue/about-this-request", about), path("about-this-request", about), path("elsewhere", elsewhere),
    path("admin/", admin.site.urls), path("i18n/", include("django.conf.urls.i18n")),
    re_path(r"^media/(?P<path>.*)$", serve, {"document_root": settings.MEDIA_ROOT}),
    path("", include(apps.get_app_config("oscar").urls[0])),
]
"""

_STOCK = f'''
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.contrib.auth import get_user_model
from oscar.apps.address.models import Country
from oscar.apps.catalogue.models import Category, Product, ProductCategory, ProductClass
from oscar.apps.partner.models import Partner, StockRecord
get_user_model().objects.create_superuser("staff", "{STAFF}", "{PASSWORD}")
Country.objects.create(iso_3166_1_a2="DE", name="Germany", printable_name="Germany", is_shipping_country=True)
shoes = ProductClass.objects.create(name="Shoes", requires_shipping=False, track_stock=True)
shoe = Product.objects.create(
    title="Meridian One", product_class=shoes, structure="standalone", is_public=True, slug="meridian")
ProductCategory.objects.create(product=shoe, category=Category.add_root(name="Drop"))
StockRecord.objects.create(
    product=shoe, partner=Partner.objects.create(name="Us"), partner_sku="m1",
    price="149.00", price_currency="EUR", num_in_stock=50)
'''


@dataclass(frozen=True)
class OscarStore:
    """A project with Oscar in a folder of its own."""

    folder: Path
    python: Path

    @classmethod
    def made(cls, environment: Path, folder: Path) -> "OscarStore":
        """Install Oscar into `environment`, unless it is there already, and make an empty shop in `folder`."""
        python = environment / "bin" / "python"
        mark = environment / "holds"
        wanted = "\n".join(PACKAGES)
        if not mark.exists() or mark.read_text() != wanted:
            print(f"Installing {PACKAGES[0]} into {environment} …", flush=True)
            venv.create(environment, with_pip=True, clear=True)
            pip = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
            subprocess.run([python, *pip, *PACKAGES], check=True)
            mark.write_text(wanted)
        store = cls(folder, python)
        for name, text in (("shop_settings", _SETTINGS), ("addresses", _ADDRESSES), ("stock", _STOCK)):
            (folder / f"{name}.py").write_text(text)
        (folder / "static").mkdir()
        subprocess.run([python, "-W", "ignore", "stock.py"], cwd=folder, env=store._environment({}), check=True)
        return store

    @contextmanager
    def running(self, port: int, log: Path, **settings: str) -> Iterator[None]:
        """Serve by gunicorn on `port` while the block lasts."""
        command = ["-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "2", "--threads", "4"]
        command += ["--forwarded-allow-ips", "192.0.2.1"]  # as if on a machine of its own: it believes loopback unasked
        wsgi = "django.core.wsgi:get_wsgi_application()"
        with log.open("ab") as written:
            environment = self._environment(settings)
            argv = [str(self.python), *command, wsgi]
            process = subprocess.Popen(argv, cwd=self.folder, env=environment, stdout=written, stderr=written)
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)

    def _environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("WAITROOM_", "PYTHON"))}
        path = os.pathsep.join([str(self.folder), str(ROOT)])
        home = {"HOME": str(self.folder)}  # gunicorn keeps a socket there
        return kept | home | {"PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "shop_settings"} | dict(settings)


def main() -> int:
    """Run the shop alone, to look at it: `python -m bench.oscar_store FOLDER PORT`."""
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    folder.mkdir(parents=True)
    store = OscarStore.made(ROOT / ".foreign", folder)
    with store.running(port, folder / "log"):
        input(f"http://127.0.0.1:{port}: sign in as {STAFF} with {PASSWORD}; Enter ends it. ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
