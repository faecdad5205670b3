"""The public names of crossband; each is imported on first use."""

from .bands import Band as Band
from .datasets import list_datasets as list_datasets
from .datasets import open_frames as open_frames
from .datasets import scan as scan
from .datasets.check import check_frames as check_frames
from .demo import demo as demo
from .errors import CrossbandError as CrossbandError
from .errors import DamagedFileError as DamagedFileError
from .errors import ImageFault as ImageFault
from .errors import MissingExtraError as MissingExtraError
from .errors import MissingWeightsError as MissingWeightsError
from .errors import UnknownNameError as UnknownNameError
from .export import export as export
from .factory import create_model as create_model
from .factory import list_models as list_models
from .frames import Frames as Frames
from .io import read_image as read_image
from .object_search import reid as reid
from .papers import reproduce as reproduce
from .profile import profile as profile
from .retrieval import Descriptor as Descriptor
from .retrieval import Gallery as Gallery
from .retrieval import Options as Options
from .retrieval import benchmark as benchmark
from .retrieval import embed as embed
from .retrieval import explain as explain
from .retrieval import fit_descriptor as fit_descriptor
from .retrieval import index as index
from .retrieval import robustness as robustness
from .retrieval import search as search
from .segmentation import segment as segment
from .segmentation import segmentation_robustness as segmentation_robustness
from .simulation.render import simulate as simulate
from .training import evaluate as evaluate
from .training import train as train
from .uav.detect import detect as detect
from .uav.localize import localize as localize
from .uav.translate import translate as translate

__version__: str
